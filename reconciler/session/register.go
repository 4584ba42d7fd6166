package session

// Shares is in how many the live sessions are kept apart, by the lowest bits of
// their cookies, so that a share of them can be walked without the others.
const Shares = 256

// register holds sessions by cookie, and by the switches that they pass.
type register struct {
	share   [Shares]map[uint64]*Session
	passing map[uint64]*passing // by DPID; of switches that some pass
	n       int
}

// passing lists the sessions that pass a switch, each share for itself: the first,
// which names the next.
type passing struct {
	first [Shares]*Session
	n     int
}

// neighbours are those before and behind a session in a switch's list.
type neighbours struct{ before, behind *Session }

func newRegister() register { return register{passing: make(map[uint64]*passing)} }

func (l *register) get(cookie uint64) *Session { return l.share[cookie%Shares][cookie] }

func (l *register) put(s *Session) {
	l.remove(s.ID)
	m := &l.share[s.ID%Shares]
	if *m == nil {
		*m = make(map[uint64]*Session)
	}
	(*m)[s.ID] = s
	l.n++
	for dpid := range s.switches {
		p := l.passing[dpid]
		if p == nil {
			p = new(passing)
			l.passing[dpid] = p
		}
		first := &p.first[s.ID%Shares]
		if *first != nil {
			(*first).at(dpid).before = s
		}
		*s.at(dpid) = neighbours{behind: *first}
		*first = s
		p.n++
	}
}

func (l *register) remove(cookie uint64) {
	s := l.get(cookie)
	if s == nil {
		return
	}
	delete(l.share[cookie%Shares], cookie)
	l.n--
	for dpid := range s.switches {
		p, at := l.passing[dpid], s.at(dpid)
		if at.before != nil {
			at.before.at(dpid).behind = at.behind
		} else {
			p.first[cookie%Shares] = at.behind
		}
		if at.behind != nil {
			at.behind.at(dpid).before = at.before
		}
		*at = neighbours{}
		if p.n--; p.n == 0 {
			delete(l.passing, dpid)
		}
	}
}

func (l *register) each(yield func(*Session) bool) {
	for i := range l.share {
		for _, s := range l.share[i] {
			if !yield(s) {
				return
			}
		}
	}
}

// eachPassing yields those that pass a switch and whose cookies, divided by of, leave
// index; of is a power of two up to Shares.
func (l *register) eachPassing(dpid uint64, index, of uint32, yield func(*Session) bool) {
	p := l.passing[dpid]
	if p == nil {
		return
	}
	for i := index; i < Shares; i += of {
		for s := p.first[i]; s != nil; s = s.at(dpid).behind {
			if !yield(s) {
				return
			}
		}
	}
}

// switches yields the DPIDs of those that a session passes, each once. They are the
// same as long as it lives.
func (s *Session) switches(yield func(dpid uint64) bool) {
	client, server := s.Client.Host.DPID, s.Server.Host.DPID
	if yield(client) && server != client {
		yield(server)
	}
}

// at is a session's place in the list of a switch that it passes.
func (s *Session) at(dpid uint64) *neighbours {
	if s.Client.Host.DPID == dpid {
		return &s.places[0]
	}
	return &s.places[1]
}
