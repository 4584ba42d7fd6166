// Package trust is who may be a host of the cluster, and how that is proved: the
// cluster's CA and what it signs, the tokens that hosts join by, and the
// registry of hosts. It does no I/O: State is a value that somebody else keeps,
// and time and randomness are arguments.
//
// A host proves itself by a key that never leaves it. The CA signs that the key
// is the host's (spiffe://CLUSTER/host/NAME) for a day at a time; the registry
// holds the key's hash, so that what was signed earlier counts for nothing once
// the host is revoked or has another key.
package trust
