// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
	"time"
)

// smtpClient is the client's side of one SMTP session: RFC 5321.
type smtpClient struct {
	conn    *textproto.Conn
	raw     net.Conn // below conn
	target  netip.AddrPort
	Greeter string // the name that the server greeted with
	offers  []string
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
	c := &smtpClient{conn: textproto.NewConn(conn), raw: conn, target: target}
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
	reply, err := c.command(250, "EHLO", "EHLO monitor.invalid")
	c.offers = strings.Split(reply, "\n")[1:]
	return err
}

// Offers says whether the server has an extension, by its EHLO keyword.
func (c *smtpClient) Offers(keyword string) bool {
	return slices.ContainsFunc(c.offers, func(line string) bool {
		offered, _, _ := strings.Cut(line, " ")
		return strings.EqualFold(offered, keyword)
	})
}

// TakesMail begins a transaction to see whether the server has room for mail
// (reply 452, RFC 5321 section 4.2.3), and gives it up. Other refusals may be
// meant for this sender alone.
func (c *smtpClient) TakesMail() error {
	const noRoom = 452
	_, err := c.command(250, "MAIL", "MAIL FROM:<>")
	if reply := (*textproto.Error)(nil); errors.As(err, &reply) && reply.Code != noRoom {
		err = nil
	}
	if err != nil {
		return err
	}
	_, err = c.command(250, "RSET", "RSET")
	return err
}

// submitted is a message that the server has taken.
type submitted struct {
	QueueID string
	ID      string // in its header, unlike that of any other
}

// Submit hands over a test message. It has no sender, so that nothing comes back
// for it.
func (c *smtpClient) Submit(to string) (submitted, error) {
	if strings.ContainsAny(to, "<>\r\n ") {
		return submitted{}, c.failed("RCPT", fmt.Errorf("%q is no address", to))
	}
	if _, err := c.command(250, "MAIL", "MAIL FROM:<>"); err != nil {
		return submitted{}, err
	}
	if _, err := c.command(25, "RCPT", "RCPT TO:<"+to+">"); err != nil {
		return submitted{}, err
	}
	if _, err := c.command(354, "DATA", "DATA"); err != nil {
		return submitted{}, err
	}
	m := submitted{ID: rand.Text() + "@monitor.invalid"}
	w := c.conn.DotWriter()
	fmt.Fprintf(w, "From: <>\r\nTo: <%s>\r\nDate: %s\r\nMessage-ID: <%s>\r\nSubject: health check\r\nAuto-Submitted: auto-generated\r\n\r\nSent by the cluster to see that mail flows.\r\n",
		to, time.Now().Format(time.RFC1123Z), m.ID)
	if err := w.Close(); err != nil {
		return submitted{}, c.failed("DATA", err)
	}
	_, reply, err := c.conn.ReadResponse(250)
	if err != nil {
		return submitted{}, c.failed("end of DATA", err)
	}
	if m.QueueID = queueID(reply); m.QueueID == "" {
		return submitted{}, c.failed("end of DATA", fmt.Errorf("no queue ID in reply %q", reply))
	}
	return m, nil
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
