// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"crypto/x509"
)

// Greet has a server greet and say what it can do, as the protocol wants it: smtp,
// submission, lmtp, imap or pop3. Of another one it is only seen that the server
// takes a connection. It returns the certificates that were sent.
func Greet(ctx context.Context, protocol string, t Target) ([]*x509.Certificate, error) {
	switch protocol {
	case "smtp", "submission":
		s, err := DialSMTP(ctx, t)
		if err != nil {
			return nil, err
		}
		defer s.Close()
		return s.Certificates(), s.Quit()
	case "lmtp":
		l, err := DialLMTP(ctx, t)
		if err != nil {
			return nil, err
		}
		defer l.Close()
		return l.Certificates(), l.Quit()
	case "imap":
		m, err := DialIMAP(ctx, t)
		if err != nil {
			return nil, err
		}
		defer m.Close()
		return m.Certificates(), m.Logout()
	case "pop3":
		p, err := DialPOP3(ctx, t)
		if err != nil {
			return nil, err
		}
		defer p.Close()
		return p.Certificates(), p.Quit()
	}
	if t.TLS == StartTLS {
		t.TLS = None // nobody knows the command
	}
	c, err := dial(ctx, protocol, t)
	if err != nil {
		return nil, err
	}
	return c.Certificates(), c.Close()
}
