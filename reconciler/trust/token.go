package trust

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/daolinet/daolinet/hostd/hostpb"
)

// Bounds of tokens.
const (
	MaxTokens   = 1024 // that are kept at once
	MaxPatterns = 64   // of hosts, and tenants, in one token
	MaxUses     = 100_000
	MaxTTL      = 365 * 24 * time.Hour
	DefaultTTL  = time.Hour

	idBytes, secretBytes = 5, 20
	// keepEnded is how long a token that ended or was used up stays, so that a
	// refusal can say which of both.
	keepEnded = 24 * time.Hour
)

// Token is a join token as it is kept: without its secret.
type Token struct {
	ID      string    `json:"id"`
	Hash    string    `json:"hash"`              // of the whole token, see hashToken
	Hosts   []string  `json:"hosts,omitempty"`   // globs of host names (path.Match); none: any
	Tenants []string  `json:"tenants,omitempty"` // whose endpoints the hosts may have; none: any that lets them
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Uses    int       `json:"uses"` // left
}

// TokenSpec says what a new token is for. Zero fields have the defaults: any
// host, any tenant, DefaultTTL, one use.
type TokenSpec struct {
	Hosts, Tenants []string
	TTL            time.Duration
	Uses           int
}

var tokenText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// CreateToken makes a token and returns it with its text, ID.SECRET, which is
// known to nobody afterwards but to whom it is given.
func (s *State) CreateToken(random io.Reader, now time.Time, spec TokenSpec) (Token, string, error) {
	if spec.TTL == 0 {
		spec.TTL = DefaultTTL
	}
	if spec.Uses == 0 {
		spec.Uses = 1
	}
	if err := spec.check(); err != nil {
		return Token{}, "", err
	}
	s.forgetTokens(now)
	if len(s.Tokens) >= MaxTokens {
		return Token{}, "", refuse(ReasonRequest, "there are %d tokens already: delete some", len(s.Tokens))
	}
	raw := make([]byte, idBytes+secretBytes)
	if _, err := io.ReadFull(random, raw); err != nil {
		return Token{}, "", fmt.Errorf("choose a token: %w", err)
	}
	id := tokenText.EncodeToString(raw[:idBytes])
	text := id + "." + tokenText.EncodeToString(raw[idBytes:])
	t := Token{
		ID: id, Hash: hashToken(text), Hosts: slices.Clone(spec.Hosts), Tenants: slices.Clone(spec.Tenants),
		Created: now.UTC(), Expires: now.Add(spec.TTL).UTC(), Uses: spec.Uses,
	}
	s.Tokens[id] = t
	return t, text, nil
}

func (spec *TokenSpec) check() error {
	switch {
	case spec.TTL < 0 || spec.TTL > MaxTTL:
		return refuse(ReasonRequest, "a token cannot last %s: up to %s are possible", spec.TTL, MaxTTL)
	case spec.Uses < 0 || spec.Uses > MaxUses:
		return refuse(ReasonRequest, "a token cannot be used %d times: up to %d are possible", spec.Uses, MaxUses)
	case len(spec.Hosts) > MaxPatterns || len(spec.Tenants) > MaxPatterns:
		return refuse(ReasonRequest, "a token names up to %d patterns of hosts and %d tenants", MaxPatterns, MaxPatterns)
	}
	for _, g := range spec.Hosts {
		if _, err := path.Match(g, ""); err != nil || g == "" || len(g) > hostpb.MaxHostName || strings.Contains(g, "/") {
			return refuse(ReasonRequest, "%q is no pattern of host names: write web-*, h[1-3] or a whole name", g)
		}
	}
	for _, t := range spec.Tenants {
		if !hostpb.ValidName(t) {
			return refuse(ReasonRequest, "%q is no name of a tenant", t)
		}
	}
	return nil
}

// DeleteToken deletes a token, and reports whether there was one.
func (s *State) DeleteToken(id string) bool {
	_, found := s.Tokens[id]
	delete(s.Tokens, id)
	return found
}

// forgetTokens drops the tokens that nobody has needed for keepEnded.
func (s *State) forgetTokens(now time.Time) {
	for id, t := range s.Tokens {
		if now.Sub(t.Expires) > keepEnded {
			delete(s.Tokens, id)
		}
	}
}

// ParseToken reads ID.SECRET.
func ParseToken(text string) (id string, err error) {
	id, secret, found := strings.Cut(text, ".")
	if len(text) > hostpb.MaxToken || !found || !isTokenText(id, idBytes) || !isTokenText(secret, secretBytes) {
		return "", refuse(ReasonTokenUnknown, "that is no join token: daolictl join-token create makes one")
	}
	return id, nil
}

// isTokenText reports whether s stands for n bytes, in the one way in which they
// are written: the decoder also takes line breaks and odd ends.
func isTokenText(s string, n int) bool {
	raw, err := tokenText.DecodeString(s)
	return err == nil && len(raw) == n && tokenText.EncodeToString(raw) == s
}

// token returns the token whose text this is, if it is good for the host. Only
// who has the secret is told what is wrong with it.
func (s *State) token(now time.Time, text, host string) (Token, error) {
	id, err := ParseToken(text)
	if err != nil {
		return Token{}, err
	}
	t, found := s.Tokens[id]
	// The hash covers 160 random bits, so it needs neither salt nor stretching.
	if !found || subtle.ConstantTimeCompare([]byte(t.Hash), []byte(hashToken(text))) != 1 {
		return Token{}, refuse(ReasonTokenUnknown, "the join token is not known: daolictl join-token list shows the tokens there are")
	}
	switch {
	case !now.Before(t.Expires):
		return t, refuse(ReasonTokenExpired, "join token %s expired at %s: daolictl join-token create makes another", id, t.Expires.Format(time.RFC3339))
	case t.Uses < 1:
		return t, refuse(ReasonTokenUsed, "join token %s is used up: daolictl join-token create makes another", id)
	case !t.allows(host):
		return t, refuse(ReasonTokenHost, "join token %s is not for a host named %q but for %s: create one with --hosts %s", id, host, strings.Join(t.Hosts, ", "), host)
	}
	return t, nil
}

func (t *Token) allows(host string) bool {
	return len(t.Hosts) == 0 || slices.ContainsFunc(t.Hosts, func(g string) bool {
		ok, err := path.Match(g, host)
		return ok && err == nil
	})
}

func hashToken(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
