package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daolinet/daolinet/reconciler/api"
)

var revoked = noon.Add(-time.Minute)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// cluster is a backend with two hosts, two tenants of overlapping addresses,
// one session and one that policy denies.
type cluster struct{}

const revision = "9f3c2a1be07d4c55a1e2b3c4d5e6f708192a3b4c"

var (
	web1 = api.Endpoint{Name: "web1", Tenant: "acme", VPC: "prod", Subnet: "web", IP: "10.1.0.5", MAC: "02:aa:00:00:00:05",
		Host: "h1", Port: 16, Groups: []string{"web"}, Labels: map[string]string{"role": "web", "tier": "front"}, Sessions: 1}
	db1 = api.Endpoint{Name: "db1", Tenant: "acme", VPC: "prod", Subnet: "db", IP: "10.1.1.9", MAC: "02:aa:00:00:01:09",
		Host: "h2", Port: 16, Groups: []string{"db"}, Ignored: []string{"admins"}, Sessions: 1}
	other = api.Endpoint{Name: "db1", Tenant: "globex", VPC: "shared", Subnet: "all", IP: "10.1.1.9", MAC: "02:bb:00:00:01:09", Host: "h1", Port: 17}

	allowed = api.Decision{Verdict: "allow", Reason: "rule", Rule: "acme/prod/db/ingress/0", At: "tenants/acme/prod.yaml:17", Revision: revision}
	denied  = api.Decision{Verdict: "drop", Reason: "isolation", Revision: revision}
	open    = api.Session{ID: "0x0301000100000007", From: endOf(web1), To: endOf(db1), Proto: "tcp", Port: 5432,
		Hosts: []string{"h1", "h2"}, WirePorts: []int{16390}, Decision: allowed, Opened: noon.Add(-130 * time.Second), IdleSeconds: 3.2,
		Forward: api.Counters{Packets: 12, Bytes: 840}, Reply: api.Counters{Packets: 10, Bytes: 12_345}}
)

func endOf(e api.Endpoint) api.End { return api.End{Name: fullName(e), IP: e.IP, Host: e.Host} }

func (cluster) Status(context.Context) (api.Status, error) {
	return api.Status{
		Version: "v0.1.0", Started: noon.Add(-3 * time.Hour), UptimeSeconds: 3 * 3600,
		Revision: api.RevisionStatus{ID: revision, Commit: &api.Commit{Hash: revision, Author: "Ada", When: noon.Add(-61 * time.Minute), Subject: "let web ask db", Signer: "ada@acme.example"}, Since: noon.Add(-time.Hour), Files: 12, Warnings: []string{`tenants/acme/prod.yaml:9: warning: vpc "globex/prod" is not peered`}, Refused: &api.RefusedRevision{
			At: noon.Add(-time.Minute), Problems: []string{`tenants/acme/prod.yaml:17: unknown key "prot": the keys here are from, ports, action, log, until`}}},
		DecisionLog: &api.DecisionLog{LeftOut: 12}, Hosts: api.HostCount{Connected: 1, Total: 2}, Endpoints: 3, Sessions: 1,
		PacketIns: api.PacketIns{Total: 120, FromEndpoints: 90, FromWire: 30, Outcomes: map[string]uint64{"allow": 80, "drop": 5, "duplicate": 35, "reject": 0}},
		Decisions: api.Decisions{Reasons: map[string]uint64{"rule": 75, "isolation": 5, "default": 5}, CacheHits: 51, CacheMisses: 34},
	}, nil
}

func (cluster) Revisions(context.Context) ([]api.Revision, error) {
	ada := &api.Commit{Hash: revision, Author: "Ada", Email: "ada@acme.example", When: noon.Add(-61 * time.Minute), Subject: "let web ask db"}
	return []api.Revision{
		{ID: "0badc0de0bad", At: noon.Add(-time.Minute), State: api.RevisionRefused, Commit: &api.Commit{Hash: "0badc0de0bad", Author: "Eve", When: noon.Add(-2 * time.Minute), Subject: "open all"},
			Problems: []string{`tenants/acme/prod.yaml:17: unknown key "prot": the keys here are from, ports, action, log, until`, "tenants/acme/prod.yaml:18: no ports"}},
		{ID: revision[:12], At: noon.Add(-time.Hour), State: api.RevisionActive, Commit: ada},
		{ID: "sha256:0123456789ab", At: noon.Add(-26 * time.Hour), State: api.RevisionPast},
	}, nil
}

func (cluster) Hosts(context.Context) ([]api.Host, error) {
	return []api.Host{
		{Name: "h1", DPID: "0000aabbccddee01", Address: "172.31.1.1/24", MAC: "aa:bb:cc:dd:ee:01", NextHop: "172.31.1.254",
			NextHopMAC: "aa:bb:cc:dd:ee:fe", MTU: 1500, Connected: true, Reporting: true, Endpoints: 2, Sessions: 1, Flows: 2,
			Joined: noon.Add(-48 * time.Hour), CertificateEnds: noon.Add(17 * time.Hour), Tenants: []string{"acme"}},
		{Name: "h2", DPID: "0000aabbccddee02", Address: "172.31.2.1/24", MAC: "aa:bb:cc:dd:ee:02", MTU: 1500, Reporting: true, Endpoints: 1, Sessions: 1, Flows: 2,
			Joined: noon.Add(-72 * time.Hour), CertificateEnds: noon.Add(-time.Hour)},
		{Name: "h3", Joined: noon.Add(-72 * time.Hour), CertificateEnds: noon.Add(time.Hour), Revoked: &revoked},
	}, nil
}

func (cluster) Endpoints(context.Context) ([]api.Endpoint, error) {
	return []api.Endpoint{db1, web1, other}, nil
}

func (cluster) Sessions(_ context.Context, f api.SessionFilter) ([]api.Session, error) {
	sessions := slices.Repeat([]api.Session{open}, 3)
	sessions[1].Proto, sessions[1].Port, sessions[1].WirePorts = "icmp", 8, nil
	sessions = slices.DeleteFunc(sessions, func(s api.Session) bool {
		return f.Proto != "" && s.Proto != f.Proto || f.Endpoint != "" && !strings.HasSuffix(s.From.Name, f.Endpoint)
	})
	return sessions[:min(len(sessions), f.Limit)], nil
}

func (cluster) Trace(_ context.Context, q api.Pair) (api.Trace, error) {
	if q.Port != 5432 {
		return api.Trace{}, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("no live session %s > %s", q.From, q.Target()),
			Hint: "daolictl why says whether one may open"}
	}
	flow := func(direction, text string, n uint64) api.Flow {
		return api.Flow{Direction: direction, Text: text, Counters: api.Counters{Packets: n, Bytes: n * 70}}
	}
	return api.Trace{
		Session: open,
		Legs: []api.Leg{
			{From: "web1", To: "h1", Source: "10.1.0.5:32768-65535", Destination: "10.1.1.9:5432"},
			{From: "h1", To: "h2", Source: "172.31.1.1:32768-65535", Destination: "172.31.2.1:16390"},
			{From: "h2", To: "db1", Source: "10.1.0.5:32768-65535", Destination: "10.1.1.9:5432"},
		},
		Hops: []api.Hop{
			{Host: "h1", DPID: "0000aabbccddee01", Flows: []api.Flow{
				flow("forward", "table=2,priority=201,tcp,in_port=16,nw_src=10.1.0.5,nw_dst=10.1.1.9,tp_src=0x8000/0x8000,tp_dst=5432 actions=dec_ttl,...", 12),
				flow("reply", "table=2,priority=200,metadata=0/0x1,tcp,in_port=1,nw_src=172.31.2.1,nw_dst=172.31.1.1,tp_src=16390 actions=...", 10)}},
			{Host: "h2", DPID: "0000aabbccddee02", Flows: []api.Flow{flow("forward", "table=2,priority=201,tcp,in_port=1 actions=...", 12)}},
		},
	}, nil
}

func (cluster) Why(_ context.Context, q api.Pair) (api.Why, error) {
	switch {
	case q.Revision == "sha256:0123456789ab" && q.To == "acme/prod/db1":
		return api.Why{From: endOf(web1), To: endOf(db1), Proto: q.Proto, Port: q.Port, Decision: api.Decision{
			Verdict: "drop", Reason: "ingress-default", Rule: "acme/prod/db", At: "tenants/acme/prod.yaml:15", Revision: q.Revision}}, nil
	case q.To == "acme/prod/db1":
	case q.Revision != "":
		return api.Why{From: endOf(web1), To: api.End{Name: "outside", IP: q.To}, Proto: q.Proto, Port: q.Port, Decision: denied,
			Commit: &api.Commit{Hash: "5d2e0c7a9b1f4e3d", Author: "Ann", Email: "ann@acme.example", When: time.Date(2026, 11, 3, 9, 0, 0, 0, time.UTC), Subject: "close the way out"},
			Lines:  []string{"VPC acme/prod has no egress: no way out"}}, nil
	}
	switch q.To {
	case "db1":
		return api.Why{}, &api.Error{Code: api.CodeAmbiguous, Message: `"db1" is the name of 2 endpoints`, Hint: "say acme/prod/db1 or globex/shared/db1"}
	case "acme/prod/db1":
		return api.Why{From: endOf(web1), To: endOf(db1), Proto: q.Proto, Port: q.Port, Decision: allowed, Session: &open,
			Lines: []string{"db1's group db lets group web in on tcp/5432", "no group of web1 has an egress section"}}, nil
	}
	return api.Why{From: endOf(web1), To: endOf(other), Proto: q.Proto, Port: q.Port, Decision: denied,
		Lines: []string{"acme/prod and globex/shared have no Peering in force"}}, nil
}

func (cluster) CreateJoinToken(_ context.Context, q api.JoinTokenRequest) (api.JoinToken, error) {
	if len(q.Hosts) > 0 && q.Hosts[0] == "[" {
		return api.JoinToken{}, &api.Error{Code: api.CodeInvalid, Message: `"[" is no pattern of host names`, Hint: "daolictl join-token create --help shows what a token may say"}
	}
	return api.JoinToken{ID: "mzxw6ytb", Hosts: q.Hosts, Tenants: q.Tenants, Created: noon, Expires: noon.Add(time.Duration(q.TTLSeconds) * time.Second), Uses: q.Uses,
		Token: "mzxw6ytb.secret", CAHash: "sha256:00ff", Controllers: []string{"172.31.250.1:7443"}}, nil
}

func (cluster) JoinTokens(context.Context) ([]api.JoinToken, error) {
	return []api.JoinToken{
		{ID: "mzxw6ytb", Created: noon.Add(-time.Minute), Expires: noon.Add(59 * time.Minute), Uses: 1},
		{ID: "nfxgs5df", Hosts: []string{"web-*"}, Tenants: []string{"acme", "globex"}, Created: noon.Add(-2 * time.Hour), Expires: noon.Add(-time.Hour), Uses: 20},
	}, nil
}

func (cluster) DeleteJoinToken(_ context.Context, id string) error {
	if id != "mzxw6ytb" {
		return &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("no join token %q", id), Hint: "daolictl join-token list shows those that there are"}
	}
	return nil
}

func (cluster) RevokeHost(_ context.Context, name string) error {
	if name != "h1" {
		return &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("no host %q has joined", name), Hint: "daolictl hosts lists them"}
	}
	return nil
}
