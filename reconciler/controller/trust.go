package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/enrol"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/trust"
)

// openTrust opens the cluster's CA and registry of hosts in the state directory.
func (c *Controller) openTrust() (*enrol.Authority, error) {
	cfg := c.cfg.Trust
	cfg.Dir, cfg.Logger = enrol.TrustDir(c.cfg.StateDir), c.log
	cfg.Revoked = func(host string) { c.do(func() { c.step(engine.HostRevoked{Host: host}) }) }
	return enrol.Open(cfg)
}

// authorize is asked at a host's Hello, and adds to its report what its token
// allowed.
func (c *Controller) authorize(ctx context.Context, r *inventory.HostReport, end func(error)) (leave func(), err error) {
	state, from := enrol.Peer(ctx)
	h, leave, err := c.trust.AuthorizeStream(state, from, r.Name, r.DPID, end)
	if err != nil {
		return nil, enrol.Status(err)
	}
	r.Tenants = h.Tenants
	return leave, nil
}

// CreateJoinToken makes a join token.
func (b *backend) CreateJoinToken(_ context.Context, q api.JoinTokenRequest) (api.JoinToken, error) {
	c := (*Controller)(b)
	ttl := time.Duration(q.TTLSeconds * float64(time.Second))
	t, text, err := c.trust.CreateToken(trust.TokenSpec{Hosts: q.Hosts, Tenants: q.Tenants, TTL: ttl, Uses: q.Uses})
	if trust.ReasonOf(err) != "" {
		return api.JoinToken{}, &api.Error{Code: api.CodeInvalid, Message: err.Error(), Hint: "daolictl join-token create --help shows what a token may say"}
	}
	if err != nil {
		return api.JoinToken{}, err
	}
	out := joinToken(t)
	out.Token, out.CAHash, out.Controllers = text, c.trust.Pin(), c.trust.Controllers()
	return out, nil
}

func joinToken(t trust.Token) api.JoinToken {
	return api.JoinToken{ID: t.ID, Hosts: t.Hosts, Tenants: t.Tenants, Created: t.Created, Expires: t.Expires, Uses: t.Uses}
}

// JoinTokens lists the join tokens, without their secrets.
func (b *backend) JoinTokens(context.Context) ([]api.JoinToken, error) {
	var out []api.JoinToken
	for _, t := range b.trust.Tokens() {
		out = append(out, joinToken(t))
	}
	return out, nil
}

// DeleteJoinToken deletes a join token.
func (b *backend) DeleteJoinToken(_ context.Context, id string) error {
	found, err := b.trust.DeleteToken(id)
	if err == nil && !found {
		err = &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("no join token %q", id), Hint: "daolictl join-token list shows those that there are"}
	}
	return err
}

// RevokeHost ends the trust in a host.
func (b *backend) RevokeHost(_ context.Context, name string) error {
	found, err := b.trust.Revoke(name)
	if err == nil && !found {
		err = &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("no host %q has joined", name), Hint: "daolictl hosts lists them"}
	}
	return err
}

// withTrust adds what the registry says to the hosts that are seen, and those
// that have joined and are not.
func withTrust(seen []api.Host, joined []trust.Host) []api.Host {
	at := make(map[string]int, len(seen))
	for i, h := range seen {
		at[h.Name] = i
	}
	for _, h := range joined {
		i, found := at[h.Name]
		if !found {
			i = len(seen)
			seen = append(seen, api.Host{Name: h.Name})
			if h.DPID != 0 {
				seen[i].DPID = fmt.Sprintf("%016x", h.DPID)
			}
		}
		a := &seen[i]
		a.Joined, a.CertificateEnds, a.Tenants = h.Joined, h.NotAfter, h.Tenants
		if !h.Revoked.IsZero() {
			a.Revoked = &h.Revoked
		}
	}
	slices.SortFunc(seen, func(a, b api.Host) int { return strings.Compare(a.Name, b.Name) })
	return seen
}
