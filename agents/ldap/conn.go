// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// Conn is a session with a server. It is for one goroutine.
type Conn struct {
	url    URL
	conn   net.Conn
	r      *bufio.Reader
	last   int64       // message ID
	cancel func() bool // of what ends the session with its context
}

// Dial connects within the given time (0: as long as ctx allows), and for ldaps
// sets TLS up as cfg says. The session and each of its operations end when ctx
// does.
func Dial(ctx context.Context, u URL, within time.Duration, cfg *tls.Config) (*Conn, error) {
	network, address := u.endpoint()
	conn, err := (&net.Dialer{Timeout: within}).DialContext(ctx, network, address)
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return nil, fmt.Errorf("%s: nobody answers: %w", u, os.ErrDeadlineExceeded)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u, err)
	}
	c := &Conn{url: u}
	c.use(conn)
	if deadline, ok := ctx.Deadline(); ok {
		err = conn.SetDeadline(deadline)
	}
	c.cancel = context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	if err == nil && u.Scheme == "ldaps" {
		err = c.secure(cfg)
	}
	if err != nil {
		c.drop()
		return nil, c.failed("connect", err)
	}
	return c, nil
}

func (c *Conn) use(conn net.Conn) { c.conn, c.r = conn, bufio.NewReader(conn) }

func (c *Conn) secure(cfg *tls.Config) error {
	if cfg == nil {
		cfg = &tls.Config{}
	}
	if cfg.ServerName == "" {
		cfg = cfg.Clone()
		cfg.ServerName = c.url.Host
	}
	conn := tls.Client(c.conn, cfg)
	if err := conn.Handshake(); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	c.use(conn)
	return nil
}

// StartTLS goes over to TLS: RFC 4511 section 4.14.
func (c *Conn) StartTLS(cfg *tls.Config) error {
	const oid = "1.3.6.1.4.1.1466.20037"
	op := application(extendedRequest, "")
	op.AppendChild(contextString(0, oid))
	if err := c.do("StartTLS", op, extendedResponse); err != nil {
		return err
	}
	if c.r.Buffered() > 0 { // said before TLS, so by anybody
		return c.failed("StartTLS", errMessage)
	}
	if err := c.secure(cfg); err != nil {
		return c.failed("StartTLS", err)
	}
	return nil
}

// Certificate is the one that the server showed, nil without TLS.
func (c *Conn) Certificate() *x509.Certificate {
	t, ok := c.conn.(*tls.Conn)
	if !ok || len(t.ConnectionState().PeerCertificates) == 0 {
		return nil
	}
	return t.ConnectionState().PeerCertificates[0]
}

// Close ends the session politely.
func (c *Conn) Close() error {
	// What comes of it does not matter: the connection ends anyhow.
	_, _ = c.send(ber.Encode(ber.ClassApplication, ber.TypePrimitive, unbindRequest, nil, ""))
	return c.drop()
}

func (c *Conn) drop() error {
	if c.cancel != nil {
		c.cancel()
	}
	return c.conn.Close()
}

// send returns the message's ID.
func (c *Conn) send(op *ber.Packet) (int64, error) {
	c.last++
	m := ber.NewSequence("")
	m.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, c.last, ""))
	m.AppendChild(op)
	_, err := c.conn.Write(m.Bytes())
	return c.last, err
}

// receive returns the next message about the request with that ID.
func (c *Conn) receive(id int64) (message, error) {
	data, err := readMessage(c.r)
	if err != nil {
		return message{}, err
	}
	m, err := parseMessage(data)
	if err != nil {
		return message{}, err
	}
	if m.id == 0 {
		return message{}, disconnection(m)
	}
	if m.id != id {
		return message{}, fmt.Errorf("%w: it answers request %d and not %d", errMessage, m.id, id)
	}
	return m, nil
}

// do performs an operation whose only answer is a result.
func (c *Conn) do(name string, op *ber.Packet, want ber.Tag) error {
	id, err := c.send(op)
	if err != nil {
		return c.failed(name, err)
	}
	m, err := c.receive(id)
	if err != nil {
		return c.failed(name, err)
	}
	if m.op != want {
		return c.failed(name, fmt.Errorf("%w: it has the tag %d", errMessage, m.op))
	}
	r, err := parseResult(m.body)
	if err != nil {
		return c.failed(name, err)
	}
	if err := r.err(); err != nil {
		return c.failed(name, err)
	}
	return nil
}

func (c *Conn) failed(name string, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%s: no answer to %s in time: %w", c.url, name, context.DeadlineExceeded)
	}
	return fmt.Errorf("%s: %s: %w", c.url, name, err)
}

func application(tag ber.Tag, description string) *ber.Packet {
	return ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, description)
}

func contextString(tag ber.Tag, s string) *ber.Packet {
	return ber.NewString(ber.ClassContext, ber.TypePrimitive, tag, s, "")
}

func octetString(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}
