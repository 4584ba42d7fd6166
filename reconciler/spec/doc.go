// Package spec turns a tree of YAML into the network that it asks for.
//
// Load reads every *.yaml of an fs.FS and gives either a validated, frozen
// Network or all that is wrong with the tree, each Problem with its FILE:LINE
// and the way out. Nothing is half accepted: one error, and there is no Network.
//
// A file passes these stages, each in a file of its own:
//
//	tree.go      which files there are, and what they hold
//	scan.go      tokens are counted before anything is built from them
//	document.go  yaml.v3 builds nodes; what YAML allows but we don't is refused
//	decode.go    strict reading of one mapping; the kinds use it:
//	             object.go, a file of each kind's name, peer.go, port.go, portmap.go, scalar.go
//	check.go     once all files are read, objects are put together; among them:
//	peers.go     which Peerings are in force, and that no ranges overlap
//	refer.go     names that must exist
//	listen.go    who listens where, with collide.go, glob.go and spans.go
//
// The tree may come from somebody who wants to harm: what it costs in time and
// memory is bounded by the limits in limits.go, whatever it holds.
package spec
