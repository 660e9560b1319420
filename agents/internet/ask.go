// SPDX-License-Identifier: Apache-2.0

package internet

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// ask has the daemon greet as its protocol wants it. With TLS it returns how
// long the certificate still lasts, which may be negative.
func ask(ctx context.Context, q protocol, addr netip.Addr) (*time.Duration, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", netip.AddrPortFrom(addr, q.port).String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	if q.tls == implicit {
		c, left, err := encrypt(ctx, conn)
		if err != nil {
			return nil, err
		}
		return left, greet(c, q)
	}
	if err := greet(conn, q); err != nil || q.tls != starttls {
		return nil, err
	}
	_, left, err := encrypt(ctx, conn)
	return left, err
}

// encrypt does not verify: it is the daemon's own address that is asked, by
// whatever name the certificate has.
func encrypt(ctx context.Context, conn net.Conn) (net.Conn, *time.Duration, error) {
	c := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, nil, fmt.Errorf("TLS: %w", err)
	}
	certs := c.ConnectionState().PeerCertificates
	if len(certs) == 0 {
		return nil, nil, errors.New("TLS: no certificate")
	}
	left := time.Until(certs[0].NotAfter)
	return c, &left, nil
}

// dialogue is what is said until the daemon has proved that it is up, and how
// TLS is asked for.
type dialogue struct {
	greeting        string // prefix
	startTLS, agree string
	hello, quit     string
}

func greet(conn net.Conn, q protocol) error {
	if q.family() == directory {
		return rootDSE(conn)
	}
	d := map[family]dialogue{
		mail:      {"220 ", "STARTTLS", "220 ", "EHLO monitor.invalid", "QUIT"},
		mailboxes: {"* OK", "a STARTTLS", "a OK", "", "b LOGOUT"},
	}[q.family()]
	if strings.HasPrefix(q.name, "pop3") {
		d = dialogue{"+OK", "STLS", "+OK", "", "QUIT"}
	}
	r := bufio.NewReader(conn)
	if err := expect(r, d.greeting); err != nil {
		return err
	}
	if q.tls != starttls {
		_, err := fmt.Fprintf(conn, "%s\r\n", d.quit)
		return err
	}
	if d.hello != "" {
		if _, err := fmt.Fprintf(conn, "%s\r\n", d.hello); err != nil {
			return err
		}
		if err := expect(r, "250 "); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", d.startTLS); err != nil {
		return err
	}
	return expect(r, d.agree)
}

// expect reads lines until one begins so; those of an answer of several lines
// ("250-", "* ") come before it.
func expect(r *bufio.Reader, prefix string) error {
	const most = 100
	for range most {
		line, err := r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("no %q: %w", prefix, err)
		}
		if strings.HasPrefix(line, prefix) {
			return nil
		}
		if !strings.HasPrefix(line, "250-") && !strings.HasPrefix(line, "* ") {
			return fmt.Errorf("%q instead of %q", strings.TrimSpace(line), prefix)
		}
	}
	return fmt.Errorf("no %q in %d lines", prefix, most)
}

// rootDSE asks for the entry that every directory server has: RFC 4512 section
// 5.1, in the encoding of RFC 4511.
func rootDSE(conn net.Conn) error {
	request := append([]byte{0x30, 0x25, 2, 1, 1, 0x63, 0x20, 4, 0, 10, 1, 0, 10, 1, 0, 2, 1, 0, 2, 1, 0, 1, 1, 0, 0x87, 11}, "objectClass"...)
	if _, err := conn.Write(append(request, 0x30, 0)); err != nil {
		return err
	}
	answer := make([]byte, 1)
	if _, err := conn.Read(answer); err != nil {
		return fmt.Errorf("no answer to a search for the root: %w", err)
	}
	if answer[0] != 0x30 {
		return fmt.Errorf("what answers on the port is no directory server")
	}
	return nil
}
