// Package openflow holds what switches are told and what they say, as values:
// flows, groups, meters and packets, their text in ovs-ofctl's syntax, and their
// bytes in OpenFlow 1.3.5 with the Nicira extensions that Open vSwitch has.
//
// Everything here is a function of its arguments. There are three layers:
//
//	values   Flow, FlowMod, GroupMod, MeterMod, PacketOut, Batch; comparable where they can be
//	text     String of each: what `ovs-ofctl -O OpenFlow13` accepts, in one canonical order
//	bytes    Append... writes messages without allocating, Decode... reads them
//
// The decoders read what a container or a broken switch shaped: they are bounded
// by the length of their argument, never panic and never spin.
//
// libOpenflow encodes what is rare and decodes what it does right (library.go).
// PacketIn, FlowMod, PacketOut, flow statistics, ports, roles and async masks are
// this package's own, since libOpenflow lacks them, panics or spins on bytes that
// a container can send, or is 40 to 200 times slower.
package openflow
