package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	maxBody       = 256 << 20 // bytes of an answer: MaxLimit sessions are 60 MB
	clientTimeout = 30 * time.Second
)

// Client asks a controller over its unix socket. Its methods answer as those of
// a Backend. Their errors are an *UnreachableError, an *Error as the controller
// gave it, or something unexpected.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient returns a client of the controller that serves socket.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "unix", socket)
		if err != nil {
			return nil, &UnreachableError{Socket: socket, Err: errors.Unwrap(err)}
		}
		return c, nil
	}
	return &Client{socket: socket, http: &http.Client{
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true},
		Timeout:   clientTimeout,
	}}
}

// Status asks for the controller's state at a glance.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return get[Status](ctx, c, "/v1/status", nil)
}

// Hosts asks for all hosts.
func (c *Client) Hosts(ctx context.Context) ([]Host, error) {
	list, err := get[HostList](ctx, c, "/v1/hosts", nil)
	return list.Hosts, err
}

// Revisions asks for the history of revisions.
func (c *Client) Revisions(ctx context.Context) ([]Revision, error) {
	list, err := get[RevisionList](ctx, c, "/v1/revisions", nil)
	return list.Revisions, err
}

// Endpoints asks for all endpoints.
func (c *Client) Endpoints(ctx context.Context) ([]Endpoint, error) {
	list, err := get[EndpointList](ctx, c, "/v1/endpoints", nil)
	return list.Endpoints, err
}

// SessionList asks for the live sessions that f selects; a limit of 0 is
// DefaultLimit.
func (c *Client) SessionList(ctx context.Context, f SessionFilter) (SessionList, error) {
	return get[SessionList](ctx, c, "/v1/sessions", f.values())
}

// Trace asks for a live session's hops and flows.
func (c *Client) Trace(ctx context.Context, q Pair) (Trace, error) {
	return get[Trace](ctx, c, "/v1/trace", q.values())
}

// Why asks what the active revision says of a pair.
func (c *Client) Why(ctx context.Context, q Pair) (Why, error) {
	return get[Why](ctx, c, "/v1/why", q.values())
}

func get[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	return ask[T](ctx, c, http.MethodGet, path, query, nil)
}

// ask sends a request, with a body as JSON unless that is nil. The path is escaped.
func ask[T any](ctx context.Context, c *Client, method, path string, query url.Values, body any) (T, error) {
	var answer T
	var send io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return answer, fmt.Errorf("write the request for %s: %w", path, err)
		}
		send = bytes.NewReader(text)
	}
	u := "http://controller" + path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, u, send)
	if err != nil {
		return answer, fmt.Errorf("ask for %s: %w", path, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer, c.explain(path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return answer, fmt.Errorf("read the answer to %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return answer, refusal(resp.StatusCode, text)
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return answer, fmt.Errorf("read the answer to %s: %w", path, err)
	}
	return answer, nil
}

// explain tells "nobody there" from the rest. A controller that takes the
// connection and then hangs up or stays silent counts as nobody.
func (c *Client) explain(path string, err error) error {
	var unreachable *UnreachableError
	if errors.As(err, &unreachable) {
		return unreachable
	}
	var transport *url.Error
	if errors.As(err, &transport) && !errors.Is(err, context.Canceled) {
		return &UnreachableError{Socket: c.socket, Err: transport.Err}
	}
	return fmt.Errorf("ask for %s: %w", path, err)
}

func refusal(status int, body []byte) error {
	e := &Error{Code: Code(status)}
	if json.Unmarshal(body, e) != nil || e.Message == "" {
		e.Message = fmt.Sprintf("the controller answered with status %d and no reason", status)
	}
	return e
}
