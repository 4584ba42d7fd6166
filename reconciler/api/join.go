package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// maxRequest bounds the body of a request, in bytes.
const maxRequest = 64 << 10

func (h *handler) joinTokens(ctx context.Context, _ *http.Request) (any, error) {
	tokens, err := h.backend.JoinTokens(ctx)
	for i := range tokens {
		tokens[i].fill()
	}
	return JoinTokenList{JoinTokens: nonNil(tokens)}, err
}

// fill makes t's lists print as lists.
func (t *JoinToken) fill() { t.Hosts, t.Tenants = nonNil(t.Hosts), nonNil(t.Tenants) }

func (h *handler) createJoinToken(ctx context.Context, r *http.Request) (any, error) {
	var q JoinTokenRequest
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxRequest))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		return nil, invalid(`send {"hosts": [..], "tenants": [..], "ttlSeconds": 3600, "uses": 1}, each of them optional`, "the request cannot be read: %v", err)
	}
	t, err := h.backend.CreateJoinToken(ctx, q)
	t.fill()
	return t, err
}

func (h *handler) deleteJoinToken(ctx context.Context, r *http.Request) (any, error) {
	return struct{}{}, h.backend.DeleteJoinToken(ctx, r.PathValue("id"))
}

func (h *handler) revokeHost(ctx context.Context, r *http.Request) (any, error) {
	return struct{}{}, h.backend.RevokeHost(ctx, r.PathValue("name"))
}

// CreateJoinToken makes a join token.
func (c *Client) CreateJoinToken(ctx context.Context, q JoinTokenRequest) (JoinToken, error) {
	return ask[JoinToken](ctx, c, http.MethodPost, "/v1/join-tokens", nil, q)
}

// JoinTokens asks for all join tokens, without their secrets.
func (c *Client) JoinTokens(ctx context.Context) ([]JoinToken, error) {
	list, err := get[JoinTokenList](ctx, c, "/v1/join-tokens", nil)
	return list.JoinTokens, err
}

// DeleteJoinToken deletes a join token.
func (c *Client) DeleteJoinToken(ctx context.Context, id string) error {
	_, err := ask[struct{}](ctx, c, http.MethodDelete, "/v1/join-tokens/"+url.PathEscape(id), nil, nil)
	return err
}

// RevokeHost ends the trust in a host: its connections are closed, its endpoints
// gone for everybody else, and its key is never good again.
func (c *Client) RevokeHost(ctx context.Context, name string) error {
	_, err := ask[struct{}](ctx, c, http.MethodPost, "/v1/hosts/"+url.PathEscape(name)+"/revoke", nil, nil)
	return err
}
