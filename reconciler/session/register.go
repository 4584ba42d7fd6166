package session

// Shares is in how many the live sessions are kept apart, by the lowest bits of
// their cookies, so that a share of them can be walked without the others.
const Shares = 256

// register holds sessions by cookie.
type register struct {
	share [Shares]map[uint64]*Session
	n     int
}

func (l *register) get(cookie uint64) *Session { return l.share[cookie%Shares][cookie] }

func (l *register) put(s *Session) {
	m := &l.share[s.ID%Shares]
	if *m == nil {
		*m = make(map[uint64]*Session)
	}
	l.n -= len(*m)
	(*m)[s.ID] = s
	l.n += len(*m)
}

func (l *register) remove(cookie uint64) {
	if m := l.share[cookie%Shares]; m[cookie] != nil {
		delete(m, cookie)
		l.n--
	}
}

// each yields those whose cookies, divided by of, leave index; of is a power of
// two up to Shares.
func (l *register) each(index, of uint32, yield func(*Session) bool) {
	for i := index; i < Shares; i += of {
		for _, s := range l.share[i] {
			if !yield(s) {
				return
			}
		}
	}
}
