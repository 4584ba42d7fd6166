package trust

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/daolinet/daolinet/hostd/hostpb"
)

// Grace is how long after the end of its last certificate a host may renew it:
// one that was switched off comes back alone.
const Grace = 30 * 24 * time.Hour

// MaxHosts bounds the registry.
const MaxHosts = 8192

// State is all that the cluster remembers of whom it trusts. It is a value to be
// kept somewhere; its methods change nothing when they return an error.
type State struct {
	Tokens map[string]Token `json:"tokens"` // by ID
	Hosts  map[string]Host  `json:"hosts"`  // by name
}

// Host is one host that joined.
type Host struct {
	Name     string    `json:"name"`
	Key      KeyHash   `json:"key"`
	Tenants  []string  `json:"tenants,omitempty"` // whose endpoints it may have; none: any that lets it
	DPID     uint64    `json:"dpid,omitempty"`    // of its bridge; 0: not said yet
	Joined   time.Time `json:"joined"`
	NotAfter time.Time `json:"notAfter"` // end of its last certificate
	Revoked  time.Time `json:"revoked,omitzero"`
}

// NewState returns the state of a new cluster.
func NewState() *State {
	return &State{Tokens: map[string]Token{}, Hosts: map[string]Host{}}
}

// Check reports what cannot be right in a state that was read.
func (s *State) Check() error {
	if s.Tokens == nil || s.Hosts == nil {
		return fmt.Errorf("tokens or hosts are missing")
	}
	for name, h := range s.Hosts {
		if h.Name != name || !hostpb.ValidHostName(name) || h.Key == "" {
			return fmt.Errorf("entry %q is no host's", name)
		}
	}
	for id, t := range s.Tokens {
		if t.ID != id || t.Hash == "" {
			return fmt.Errorf("entry %q is no token's", id)
		}
	}
	return nil
}

// Clone returns a copy that later changes of s leave alone.
func (s *State) Clone() *State {
	return &State{Tokens: maps.Clone(s.Tokens), Hosts: maps.Clone(s.Hosts)}
}

// TokenList returns the tokens sorted by their creation.
func (s *State) TokenList() []Token {
	return slices.SortedFunc(maps.Values(s.Tokens), func(a, b Token) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return compare(a.ID, b.ID)
	})
}

// HostList returns the hosts sorted by name.
func (s *State) HostList() []Host {
	return slices.SortedFunc(maps.Values(s.Hosts), func(a, b Host) int { return compare(a.Name, b.Name) })
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Join takes a host in by a token, which it uses, and returns its entry: its
// certificate is to end at notAfter. A name goes to another key only when the
// host that had it was revoked, or is gone for so long that it could not come
// back anyway: else a token would be enough to take a live host's place.
func (s *State) Join(now time.Time, token, name string, key KeyHash, notAfter time.Time) (Host, error) {
	if !hostpb.ValidHostName(name) {
		return Host{}, refuse(ReasonRequest, "%q cannot be a host's name: small letters, digits, hyphens and dots", name)
	}
	t, err := s.token(now, token, name)
	if err != nil {
		return Host{}, err
	}
	if err := s.mayHave(now, name, key); err != nil {
		return Host{}, err
	}
	h := Host{Name: name, Key: key, Tenants: t.Tenants, Joined: now.UTC(), NotAfter: notAfter.UTC()}
	if old := s.Hosts[name]; old.Key == key {
		h.DPID = old.DPID
	} else if old.Name == "" && len(s.Hosts) >= MaxHosts {
		return Host{}, refuse(ReasonRequest, "the cluster has %d hosts, and no room for more", MaxHosts)
	}
	t.Uses--
	s.Tokens[t.ID], s.Hosts[name] = t, h
	return h, nil
}

func (s *State) mayHave(now time.Time, name string, key KeyHash) error {
	for _, o := range s.Hosts {
		if o.Key == key && o.Name != name {
			return refuse(ReasonKeyTaken, "the key is host %q's", o.Name)
		}
	}
	old, found := s.Hosts[name]
	switch {
	case found && old.Key == key && !old.Revoked.IsZero():
		return refuse(ReasonRevoked, "host %q was revoked at %s, and this key with it: join with a new key (daoli-hostd join --new-key)", name, old.Revoked.Format(time.RFC3339))
	case found && old.Key != key && old.Revoked.IsZero() && now.Before(old.NotAfter.Add(Grace)):
		return refuse(ReasonNameTaken, "the name %q is taken by a host with another key: if that is gone, free it by daolictl host revoke %s", name, name)
	}
	return nil
}

// Renew notes that a host's certificate is to be renewed until notAfter. It must
// show one of its key that ended at most Grace ago, and ask for the same key.
func (s *State) Renew(now time.Time, shown Shown, key KeyHash, notAfter time.Time) (Host, error) {
	h, err := s.Known(shown)
	if err != nil {
		return Host{}, err
	}
	if now.After(shown.NotAfter.Add(Grace)) {
		return Host{}, refuse(ReasonExpired, "the certificate of host %q ended at %s, more than %s ago: join it again with a new token (daolictl join-token create --hosts %s)",
			h.Name, shown.NotAfter.UTC().Format(time.RFC3339), days(Grace), h.Name)
	}
	if key != h.Key {
		return Host{}, refuse(ReasonReplaced, "a certificate is renewed for the key that host %q has, and for no other", h.Name)
	}
	if notAfter.After(h.NotAfter) {
		h.NotAfter = notAfter.UTC()
	}
	s.Hosts[h.Name] = h
	return h, nil
}

// Leave takes the host out that shows a certificate of its key, which ended at most
// Grace ago: it is as if it had never joined, so that its name, its datapath id
// and its key are free.
func (s *State) Leave(now time.Time, shown Shown) error {
	h, err := s.Known(shown)
	if err != nil {
		return err
	}
	if now.After(shown.NotAfter.Add(Grace)) {
		return refuse(ReasonExpired, "the certificate of host %q ended at %s, more than %s ago: daolictl host revoke %s takes it out",
			h.Name, shown.NotAfter.UTC().Format(time.RFC3339), days(Grace), h.Name)
	}
	delete(s.Hosts, h.Name)
	return nil
}

func days(d time.Duration) string { return fmt.Sprintf("%d days", int(d/(24*time.Hour))) }

// Known returns the host that shows a certificate, whether that has ended or not.
func (s *State) Known(shown Shown) (Host, error) {
	h, found := s.Hosts[shown.Host]
	switch {
	case !found:
		return Host{}, refuse(ReasonUnknownHost, "host %q is not in the registry: join it again with a token", shown.Host)
	case h.Key != shown.Key:
		return Host{}, refuse(ReasonReplaced, "host %q has joined again, with another key than this", h.Name)
	case !h.Revoked.IsZero():
		return Host{}, refuse(ReasonRevoked, "host %q was revoked at %s: join it again with a token and a new key (daoli-hostd join --new-key)", h.Name, h.Revoked.Format(time.RFC3339))
	}
	return h, nil
}

// Valid returns the host that shows a certificate which has not ended.
func (s *State) Valid(now time.Time, shown Shown) (Host, error) {
	h, err := s.Known(shown)
	if err != nil {
		return Host{}, err
	}
	if now.After(shown.NotAfter) {
		return Host{}, refuse(ReasonExpired, "the certificate of host %q ended at %s: it may only be renewed", h.Name, shown.NotAfter.UTC().Format(time.RFC3339))
	}
	return h, nil
}

// Bind notes that a host's bridge has the datapath id, and reports whether that
// is new. The first host that says so has it.
func (s *State) Bind(name string, dpid uint64) (changed bool, err error) {
	if o := s.holder(dpid); o != "" && o != name {
		return false, refuse(ReasonDPIDTaken, "datapath id %016x is host %q's: give this host's bridge another, or free it by daolictl host revoke %s", dpid, o, o)
	}
	h, found := s.Hosts[name]
	if !found {
		return false, refuse(ReasonUnknownHost, "host %q is not in the registry", name)
	}
	if h.DPID == dpid {
		return false, nil
	}
	h.DPID = dpid
	s.Hosts[name] = h
	return true, nil
}

// MayHaveSwitch reports whether the switch dpid may be the host's: nil if it is,
// a Refusal with ReasonDPIDUnbound if the host has not said so yet.
func (s *State) MayHaveSwitch(name string, dpid uint64) error {
	h := s.Hosts[name]
	switch o := s.holder(dpid); {
	case o == name && name != "":
		return nil
	case o != "":
		return refuse(ReasonDPIDTaken, "host %q shows the switch %016x, which is host %q's", name, dpid, o)
	case h.DPID != 0:
		return refuse(ReasonOtherHost, "host %q shows the switch %016x; its own is %016x", name, dpid, h.DPID)
	}
	return refuse(ReasonDPIDUnbound, "host %q has not reported that the switch %016x is its own", name, dpid)
}

// holder returns the host that has the datapath id, or "". A revoked host has none.
func (s *State) holder(dpid uint64) string {
	for _, h := range s.Hosts {
		if h.DPID == dpid && dpid != 0 && h.Revoked.IsZero() {
			return h.Name
		}
	}
	return ""
}

// Revoke ends the trust in a host: its key is never good again. It reports false
// if there is no such host, or it was revoked before.
func (s *State) Revoke(now time.Time, name string) bool {
	h, found := s.Hosts[name]
	if !found || !h.Revoked.IsZero() {
		return false
	}
	h.Revoked = now.UTC()
	s.Hosts[name] = h
	return true
}
