// Package enrol is the cluster's trust at work on one controller: it keeps
// trust's State and the CA in files, serves joining and renewing, and stands
// before both of the controller's ports.
//
//	hosts ────► Listen ─► gRPC ─► Enrolment: Join (a token), Renew (a certificate)
//	  (TLS 1.3)    │        └───► HostLink: AuthorizeStream at the Hello
//	switches ─► Listen ─► OpenFlow: AuthorizeSwitch when the datapath id is known
//
// A connection of a host is held until its last certificate ends or it is
// revoked, and is then closed with that as its reason.
package enrol
