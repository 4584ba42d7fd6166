package openflow

// Learn is the body of a flow's learn action (NXAST_LEARN): it learns the way
// back of the packet that runs it. The learned flow takes IPv4 packets of Proto
// that came in at InPort from the packet's destination to its source, with the
// packet's destination port as source port, and as destination port one that
// agrees with the packet's source port in its DstBits highest bits; it sends
// them where the packet came from (output:NXM_OF_IN_PORT[]).
//
// It is a value of a few numbers and not a list of specs, since DaoliNet learns
// nothing else, and so flows stay small and comparable.
type Learn struct {
	Table       TableID
	Priority    uint16
	IdleTimeout uint16 // seconds
	Cookie      uint64
	Limit       uint32 // at most so many flows with this table and cookie
	InPort      PortNo
	Proto       uint8 // ProtoTCP or ProtoUDP; 0: no learn action
	DstBits     uint8 // 1..16
}
