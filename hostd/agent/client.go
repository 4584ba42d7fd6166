package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

// maxAnswer bounds an answer of the local API, in bytes.
const maxAnswer = 64 << 20

// Client asks the daoli-hostd that serves a socket. Its errors are an
// *UnreachableError, an *AnswerError, or something unexpected.
type Client struct {
	socket string
	http   http.Client
}

// UnreachableError says that nobody serves the socket.
type UnreachableError struct {
	Socket string
	Err    error
}

// Error names the socket and the cause.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("reach daoli-hostd at %s: %v", e.Socket, e.Err)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// AnswerError is a refusal by daoli-hostd.
type AnswerError struct {
	Status int // HTTP
	Text   string
}

// Error returns the text.
func (e *AnswerError) Error() string { return e.Text }

// NewClient returns a client of the socket.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "unix", socket)
		if err != nil {
			return nil, &UnreachableError{socket, errors.Unwrap(err)}
		}
		return c, nil
	}
	return &Client{socket: socket, http: http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Attach attaches an endpoint. When it returns, the endpoint's flows are in the
// switch.
func (c *Client) Attach(ctx context.Context, q AttachRequest) (Endpoint, error) {
	return ask[Endpoint](ctx, c, http.MethodPost, "/v1/attach", q)
}

// Detach ends an endpoint.
func (c *Client) Detach(ctx context.Context, q DetachRequest) (Endpoint, error) {
	return ask[Endpoint](ctx, c, http.MethodPost, "/v1/detach", q)
}

// Leave gives the host's address and routes back and ends daoli-hostd.
func (c *Client) Leave(ctx context.Context, q LeaveRequest) (LeaveAnswer, error) {
	return ask[LeaveAnswer](ctx, c, http.MethodPost, "/v1/leave", q)
}

// Endpoints returns the host's endpoints.
func (c *Client) Endpoints(ctx context.Context) (EndpointList, error) {
	return ask[EndpointList](ctx, c, http.MethodGet, "/v1/endpoints", nil)
}

// BaseFlows returns what the switch should have.
func (c *Client) BaseFlows(ctx context.Context) (BaseFlows, error) {
	return ask[BaseFlows](ctx, c, http.MethodGet, "/v1/base-flows", nil)
}

// Status returns the host's state.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return ask[Status](ctx, c, http.MethodGet, "/v1/status", nil)
}

func ask[A any](ctx context.Context, c *Client, method, path string, q any) (A, error) {
	var answer A
	var body bytes.Buffer
	if q != nil {
		if err := json.NewEncoder(&body).Encode(q); err != nil {
			return answer, fmt.Errorf("encode request: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://hostd"+path, &body)
	if err != nil {
		return answer, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var u *UnreachableError
		if errors.As(err, &u) {
			return answer, u
		}
		return answer, fmt.Errorf("ask daoli-hostd at %s: %w", c.socket, err)
	}
	defer resp.Body.Close()
	d := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode != http.StatusOK {
		var f Failure
		if err := d.Decode(&f); err != nil || f.Error == "" {
			f.Error = resp.Status
		}
		return answer, &AnswerError{resp.StatusCode, f.Error}
	}
	if err := d.Decode(&answer); err != nil {
		return answer, fmt.Errorf("read answer of daoli-hostd: %w", err)
	}
	return answer, nil
}
