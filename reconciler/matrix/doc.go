// Package matrix answers offline who reaches whom: for every ordered pair of
// the endpoints and outside addresses of a Sample and each of its ports, the
// verdict that the first packet would get (SPEC 4).
//
// Nothing is decided here. The endpoints become a Snapshot as reported ones do,
// and package admission decides over it with the revision's policy, as on the
// hot path.
//
//	matrix.go  the pairs, and their decisions
//	asker.go   the policy as admission sees it here
//	write.go   table, JSON, CSV, YAML
package matrix
