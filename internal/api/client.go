// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// ErrUnreachable: nobody answers, or not in our language.
var ErrUnreachable = errors.New("mailhad cannot be reached")

// maxAnswer bounds an answer, and a line of a stream, in bytes.
const maxAnswer = 64 << 20

// Client talks to a mailhad. Make it by Dial or DialTLS.
type Client struct {
	where string
	base  string
	http  *http.Client
}

// Dial makes a client of the daemon on this node. It connects with each request.
func Dial(socket string) *Client {
	var dialer net.Dialer
	return &Client{where: socket, base: "http://mailhad", http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
	}}}
}

// TLS are the files of PEM with which a client shows who it is, and by which it
// knows the server.
type TLS struct{ CertFile, KeyFile, CAFile string }

// DialTLS makes a client of the daemon at an address with a port.
func DialTLS(address string, t TLS) (*Client, error) {
	cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("the client's certificate: %w", err)
	}
	servers, err := pool(t.CAFile)
	if err != nil {
		return nil, err
	}
	return &Client{where: address, base: "https://" + address, http: &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, RootCAs: servers},
		TLSHandshakeTimeout: patience,
	}}}, nil
}

// Close ends what is idle.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// send returns the answer to a request that was understood.
func (c *Client) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var data io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("make a request: %w", err)
		}
		data = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, data)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err
		}
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err // without the address, which is told already
		}
		return nil, fmt.Errorf("%w at %s: %w", ErrUnreachable, c.where, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var failed Failed
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(&failed); err != nil || failed.Error.What == "" {
		return nil, fmt.Errorf("%w at %s: it answered %s", ErrUnreachable, c.where, resp.Status)
	}
	return nil, &failed.Error
}

// ask reads an answer. Fields that it does not know are a newer mailhad's.
func ask[T any](ctx context.Context, c *Client, method, path string, body any) (T, error) {
	var out T
	ctx, cancel := context.WithTimeout(ctx, patience+settleTime+2*time.Second)
	defer cancel()
	resp, err := c.send(ctx, method, path, body)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&out); err != nil {
		return out, fmt.Errorf("%w at %s: its answer cannot be read: %w", ErrUnreachable, c.where, err)
	}
	return out, nil
}

// Status is the cluster as the node sees it.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return ask[Status](ctx, c, http.MethodGet, "/v1/status", nil)
}

// Watch hands on each status until ctx ends, the daemon goes away, or an error
// of the function's own, which it returns.
func (c *Client) Watch(ctx context.Context, each func(Status) error) error {
	resp, err := c.send(ctx, http.MethodGet, "/v1/status?watch", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for dec := json.NewDecoder(resp.Body); ; {
		var s Status
		if err := dec.Decode(&s); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%w at %s any more: %w", ErrUnreachable, c.where, err)
		}
		if err := each(s); err != nil {
			return err
		}
	}
}

// Events are the latest ones.
func (c *Client) Events(ctx context.Context, limit int) (Events, error) {
	return ask[Events](ctx, c, http.MethodGet, "/v1/events?limit="+strconv.Itoa(limit), nil)
}

// Plan is what the cluster means to do.
func (c *Client) Plan(ctx context.Context) (Plan, error) {
	return ask[Plan](ctx, c, http.MethodGet, "/v1/plan", nil)
}

// Explain says why a group or resource is where and how it is.
func (c *Client) Explain(ctx context.Context, name string) (Explanation, error) {
	return ask[Explanation](ctx, c, http.MethodGet, Path("explain", name), nil)
}

// WhatIf says what would become of the groups: what is node-down, node-up or node-standby.
func (c *Client) WhatIf(ctx context.Context, what, node string) (WhatIf, error) {
	return ask[WhatIf](ctx, c, http.MethodGet, Path("what-if", what, node), nil)
}

// Config is the configuration that the cluster runs.
func (c *Client) Config(ctx context.Context) (ConfigText, error) {
	return ask[ConfigText](ctx, c, http.MethodGet, "/v1/config", nil)
}

// Review says what another configuration would do.
func (c *Client) Review(ctx context.Context, change ConfigChange) (Review, error) {
	return ask[Review](ctx, c, http.MethodPost, "/v1/config/review", change)
}

// Apply makes it the one that the cluster runs.
func (c *Client) Apply(ctx context.Context, change ConfigChange) (Done, error) {
	return ask[Done](ctx, c, http.MethodPut, "/v1/config", change)
}

// Version is what runs there.
func (c *Client) Version(ctx context.Context) (Version, error) {
	return ask[Version](ctx, c, http.MethodGet, "/v1/version", nil)
}

// Ask asks for a change, at a path that Path has made.
func (c *Client) Ask(ctx context.Context, path string, change Change) (Done, error) {
	return ask[Done](ctx, c, http.MethodPost, path, change)
}

// Undo takes back what was asked for at a path.
func (c *Client) Undo(ctx context.Context, path string) (Done, error) {
	return ask[Done](ctx, c, http.MethodDelete, path, nil)
}

// Path makes a path of its parts, which may be anything.
func Path(parts ...string) string {
	var b strings.Builder
	b.WriteString("/v1")
	for _, p := range parts {
		b.WriteString("/" + url.PathEscape(p))
	}
	return b.String()
}
