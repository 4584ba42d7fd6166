package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Receipt says of one event which sessions it cut, why each of them, and which
// hosts have confirmed that nothing of them is left.
type Receipt struct {
	ID       uint64    `json:"id"`             // from 1 since the controller started
	Cause    string    `json:"cause"`          // revision, report, until, kill or host-revoked
	Host     string    `json:"host,omitempty"` // that reported, or was revoked
	Revision string    `json:"revision"`       // in force after it
	Commit   *Commit   `json:"commit,omitempty"`
	Seen     time.Time `json:"seen"` // when it was noticed
	Cut      time.Time `json:"cut"`  // when the sessions were judged and their deletions sent
	// Done is set when no host is sent or away any more.
	Done bool `json:"done"`
	// TookSeconds is from Seen to the last host that has confirmed so far.
	TookSeconds float64       `json:"tookSeconds"`
	Count       int           `json:"count"`    // of sessions that were cut
	Sessions    []CutSession  `json:"sessions"` // the first of them
	Hosts       []ReceiptHost `json:"hosts"`
}

// CutSession is a session that was cut.
type CutSession struct {
	ID     string    `json:"id"` // its cookie: 0x...
	From   End       `json:"from"`
	To     End       `json:"to"`
	Proto  string    `json:"proto"`
	Port   int       `json:"port"`
	Opened time.Time `json:"opened"`
	Why    string    `json:"why"` // policy, killed or endpoint
	// Decision is what forbids it now, if Why is policy.
	Decision *Decision `json:"decision,omitempty"`
}

// ReceiptHost is a host whose switch held flows of sessions that were cut.
type ReceiptHost struct {
	Name     string    `json:"name"`
	DPID     string    `json:"dpid"`
	Sessions int       `json:"sessions"`
	State    string    `json:"state"` // sent, away, confirmed, refused, revoked or replaced
	Since    time.Time `json:"since"` // of its state
	// TookSeconds is from Seen until it confirmed; absent: it has not.
	TookSeconds *float64 `json:"tookSeconds,omitempty"`
	Err         string   `json:"err,omitempty"` // why it refused
}

// ReceiptList is the body of /v1/receipts.
type ReceiptList struct {
	Receipts []Receipt `json:"receipts"` // the newest first
}

// fill makes r's lists print as lists.
func (r *Receipt) fill() { r.Sessions, r.Hosts = nonNil(r.Sessions), nonNil(r.Hosts) }

func (h *handler) receipts(ctx context.Context, r *http.Request) (any, error) {
	id := r.PathValue("id")
	list, err := h.backend.Receipts(ctx)
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].fill()
	}
	if id == "" {
		return ReceiptList{Receipts: nonNil(list)}, nil
	}
	for _, one := range list {
		if strconv.FormatUint(one.ID, 10) == id {
			return one, nil
		}
	}
	return nil, &Error{Code: CodeNotFound, Message: fmt.Sprintf("no receipt %q", id), Hint: "daolictl receipts lists those that are kept"}
}

func (h *handler) killSession(ctx context.Context, r *http.Request) (any, error) {
	id, err := ParseSessionID(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	one, err := h.backend.KillSession(ctx, id)
	one.fill()
	return one, err
}

// ParseSessionID reads a session's ID as lists show it.
func ParseSessionID(text string) (uint64, error) {
	id, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		return 0, invalid("daolictl sessions -o json shows them, as 0x301000100000007", "%q is no session's ID", text)
	}
	return id, nil
}

// Receipts asks for the receipts that are kept.
func (c *Client) Receipts(ctx context.Context) (ReceiptList, error) {
	return get[ReceiptList](ctx, c, "/v1/receipts", nil)
}

// Receipt asks for one of them.
func (c *Client) Receipt(ctx context.Context, id string) (Receipt, error) {
	return get[Receipt](ctx, c, "/v1/receipts/"+url.PathEscape(id), nil)
}

// KillSession ends a live session, and returns the receipt as it was at once.
func (c *Client) KillSession(ctx context.Context, id string) (Receipt, error) {
	return ask[Receipt](ctx, c, http.MethodPost, "/v1/sessions/"+url.PathEscape(id)+"/kill", nil, nil)
}
