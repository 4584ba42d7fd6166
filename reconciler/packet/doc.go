// Package packet reads the headers of Ethernet frames that switches lift to the
// controller, and builds the frames that answer them: TCP resets and ICMP
// errors. Containers shape these bytes, so Decode is bounded by the frame's
// length, trusts no length field, and says in a typed error what is wrong.
package packet
