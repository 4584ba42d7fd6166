package main

import (
	"context"
	"time"

	"github.com/daolinet/daolinet/reconciler/api"
)

// Receipts are one that waits for a switch, and one of a session that was killed.
func (cluster) Receipts(context.Context) ([]api.Receipt, error) {
	seen := noon.Add(-70 * time.Second)
	ms := func(n int) *float64 { s := float64(n) / 1000; return &s }
	cut := api.CutSession{ID: open.ID, From: open.From, To: open.To, Proto: "tcp", Port: 5432, Opened: open.Opened, Why: "policy",
		Decision: &api.Decision{Verdict: "reject", Reason: "rule-deny", Rule: "acme/prod/db/ingress/1", At: "tenants/acme/prod.yaml:19", Revision: revision}}
	killed := cut
	killed.Why, killed.Decision = "killed", nil
	return []api.Receipt{
		{ID: 2, Cause: "revision", Revision: revision, Commit: &api.Commit{Hash: revision, Author: "Ada", When: noon.Add(-5 * time.Minute), Subject: "close the database"},
			Seen: seen, Cut: seen.Add(30 * time.Millisecond), TookSeconds: 0.041, Count: 3, Sessions: []api.CutSession{cut},
			Hosts: []api.ReceiptHost{
				{Name: "h1", DPID: "0000aabbccddee01", Sessions: 3, State: "confirmed", Since: seen.Add(41 * time.Millisecond), TookSeconds: ms(41)},
				{Name: "h2", DPID: "0000aabbccddee02", Sessions: 3, State: "away", Since: noon.Add(-2 * time.Minute)},
			}},
		{ID: 1, Cause: "kill", Revision: revision, Seen: noon.Add(-time.Hour), Cut: noon.Add(-time.Hour), Done: true, TookSeconds: 0.004, Count: 1,
			Sessions: []api.CutSession{killed}, Hosts: []api.ReceiptHost{{Name: "h1", DPID: "0000aabbccddee01", Sessions: 1, State: "confirmed", Since: noon.Add(-time.Hour), TookSeconds: ms(4)}}},
	}, nil
}

func (c cluster) KillSession(ctx context.Context, id uint64) (api.Receipt, error) {
	if id != 0x0301000100000007 {
		return api.Receipt{}, &api.Error{Code: api.CodeNotFound, Message: "no such session lives", Hint: "daolictl sessions -o json shows the IDs of those that do"}
	}
	all, err := c.Receipts(ctx)
	return all[1], err
}
