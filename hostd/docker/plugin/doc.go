// Package plugin speaks Docker's plugin protocol: HTTP and JSON over a unix
// socket, on which one program is network driver and address manager (IPAM
// driver) in one. It knows what Docker says and nothing of what it means.
//
// The protocol is Docker's own (docs/extend/plugin_api.md of moby, and
// libnetwork's docs/remote.md and docs/ipam.md): POST /Class.Method, answered
// with status 200 and either the answer or {"Err": TEXT, "Error": TEXT}; TEXT reaches the user.
// An answer never depends on what was asked before: that is the Driver's matter.
package plugin
