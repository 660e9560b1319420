// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// TLS says how a session is encrypted.
type TLS string

// The ways.
const (
	None     TLS = ""
	StartTLS TLS = "starttls" // after a command: RFC 3207, RFC 9051 section 6.2.1, RFC 2595
	Implicit TLS = "tls"      // from the first byte: RFC 8314
)

// Target is where a server listens.
type Target struct {
	Addr netip.AddrPort
	Path string // of a unix socket, instead of an address
	TLS  TLS
}

func (t Target) String() string {
	if t.Path != "" {
		return t.Path
	}
	return t.Addr.String()
}

// longestLine is more than any protocol here lets a server send in one line.
const longestLine = 1 << 16

// conn is a session of a protocol that consists of lines.
type conn struct {
	protocol string
	target   Target
	raw      net.Conn
	r        *bufio.Reader
	certs    []*x509.Certificate
	release  func() bool
}

// dial connects; within TLS if the target wants it from the first byte. All that
// follows keeps to the deadline of ctx, and ends when ctx does. Until the session has
// begun half of the time has to do: who is silent so long will stay silent, and
// whoever asks may want to act on it.
func dial(ctx context.Context, protocol string, t Target) (*conn, error) {
	network, address := "tcp", t.Addr.String()
	if t.Path != "" {
		network, address = "unix", t.Path
	}
	raw, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", protocol, err)
	}
	c := &conn{protocol: protocol, target: t, raw: raw, r: bufio.NewReaderSize(raw, longestLine)}
	if deadline, ok := ctx.Deadline(); ok {
		if err := raw.SetDeadline(deadline.Add(-time.Until(deadline) / 2)); err != nil {
			raw.Close()
			return nil, c.failed("connection", err)
		}
	}
	c.release = context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	if t.TLS == Implicit {
		if err := c.encrypt(ctx); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// begun gives the session the rest of the time.
func (c *conn) begun(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return c.failed("greeting", err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		return c.raw.SetDeadline(deadline)
	}
	return nil
}

// encrypt begins TLS.
func (c *conn) encrypt(ctx context.Context) error {
	// Nothing that came in the clear may be taken for an answer within TLS.
	if n := c.r.Buffered(); n > 0 {
		return c.failed("TLS handshake", fmt.Errorf("%d bytes came before it", n))
	}
	t := tls.Client(c.raw, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10})
	if err := t.HandshakeContext(ctx); err != nil {
		return c.failed("TLS handshake", err)
	}
	c.raw, c.r, c.certs = t, bufio.NewReaderSize(t, longestLine), t.ConnectionState().PeerCertificates
	return nil
}

// Certificates are those that the server has sent; none without TLS.
func (c *conn) Certificates() []*x509.Certificate { return c.certs }

// Close ends the session.
func (c *conn) Close() error {
	c.release()
	return c.raw.Close()
}

func (c *conn) write(text string) error {
	_, err := c.raw.Write([]byte(text))
	return err
}

// line reads one line, without its end.
func (c *conn) line() (string, error) {
	text, err := c.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", fmt.Errorf("a line of more than %d bytes", longestLine)
	}
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// failed says in which step something failed.
func (c *conn) failed(step string, err error) error {
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("%s %s: no answer to %s in time", c.protocol, c.target, step)
	}
	return fmt.Errorf("%s %s: %s: %w", c.protocol, c.target, step, err)
}
