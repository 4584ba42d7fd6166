// Package docker is hostd's end of Docker: it answers Docker's network and IPAM
// plugin calls, keeps a Docker network for each subnet that the host may have
// endpoints in, and ends the endpoints of containers that ended while hostd was
// away.
//
// Docker asks for an address before it says for what; then it tells of an
// interface (CreateEndpoint), and asks for it (Join), still without a word of the
// container. So an address is leased under a made-up name; Join looks the
// container up in Docker's own lists and attaches an endpoint of its name, which
// takes the address over. Docker moves the interface into the container.
//
// The agent is the Host that does all this; what is decided here depends on what
// Docker and the Host say.
package docker
