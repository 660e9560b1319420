// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"strings"
	"time"
)

// smtpClient is the client's side of one SMTP session: RFC 5321.
type smtpClient struct {
	conn    *textproto.Conn
	target  netip.AddrPort
	Greeter string // the name that the server greeted with
}

// dialSMTP returns once the server has greeted and answered EHLO.
func dialSMTP(ctx context.Context, target netip.AddrPort) (*smtpClient, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", target.String())
	if err != nil {
		return nil, fmt.Errorf("SMTP: %w", err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			conn.Close()
			return nil, fmt.Errorf("SMTP %s: %w", target, err)
		}
	}
	c := &smtpClient{conn: textproto.NewConn(conn), target: target}
	if err := c.greet(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *smtpClient) greet() error {
	_, banner, err := c.conn.ReadResponse(220)
	if err != nil {
		return c.failed("greeting", err)
	}
	name, _, _ := strings.Cut(banner, " ")
	if !isHostname(name) {
		return c.failed("greeting", fmt.Errorf("%q is no host name", name))
	}
	c.Greeter = name
	_, err = c.command(250, "EHLO", "EHLO monitor.invalid")
	return err
}

// Submit hands over a test message and returns its queue ID. It has no sender,
// so that nothing comes back for it.
func (c *smtpClient) Submit(to string) (id string, err error) {
	if strings.ContainsAny(to, "<>\r\n ") {
		return "", c.failed("RCPT", fmt.Errorf("%q is no address", to))
	}
	if _, err := c.command(250, "MAIL", "MAIL FROM:<>"); err != nil {
		return "", err
	}
	if _, err := c.command(25, "RCPT", "RCPT TO:<"+to+">"); err != nil {
		return "", err
	}
	if _, err := c.command(354, "DATA", "DATA"); err != nil {
		return "", err
	}
	w := c.conn.DotWriter()
	fmt.Fprintf(w, "From: <>\r\nTo: <%s>\r\nDate: %s\r\nSubject: health check\r\nAuto-Submitted: auto-generated\r\n\r\nSent by the cluster to see that mail flows.\r\n",
		to, time.Now().Format(time.RFC1123Z))
	if err := w.Close(); err != nil {
		return "", c.failed("DATA", err)
	}
	_, reply, err := c.conn.ReadResponse(250)
	if err != nil {
		return "", c.failed("end of DATA", err)
	}
	id = queueID(reply)
	if id == "" {
		return "", c.failed("end of DATA", fmt.Errorf("no queue ID in reply %q", reply))
	}
	return id, nil
}

// queueID finds it in the reply to a message: "2.0.0 Ok: queued as 4Zx1yT0gqHz9sK".
// It becomes part of a path, so it must be nothing else. Empty: there is none.
func queueID(reply string) string {
	_, rest, _ := strings.Cut(reply, "queued as ")
	id, _, _ := strings.Cut(rest, " ")
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	if len(id) < 5 || len(id) > 20 || strings.Trim(id, allowed) != "" {
		return ""
	}
	return id
}

// Quit ends the session politely.
func (c *smtpClient) Quit() error {
	_, err := c.command(221, "QUIT", "QUIT")
	return err
}

func (c *smtpClient) Close() error { return c.conn.Close() }

func (c *smtpClient) command(want int, name, line string) (string, error) {
	if err := c.conn.PrintfLine("%s", line); err != nil {
		return "", c.failed(name, err)
	}
	_, reply, err := c.conn.ReadResponse(want)
	if err != nil {
		return "", c.failed(name, err)
	}
	return reply, nil
}

func (c *smtpClient) failed(step string, err error) error {
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("SMTP %s: no answer to %s in time", c.target, step)
	}
	return fmt.Errorf("SMTP %s: %s: %w", c.target, step, err)
}

func isHostname(s string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"
	return s != "" && len(s) <= 255 && strings.Trim(s, allowed) == ""
}
