// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// checkCertificates begins TLS in a session of its own. It is an error if the
// server cannot, or if one of its certificates is not valid for so many days to
// come.
func checkCertificates(ctx context.Context, target netip.AddrPort, days int) error {
	c, err := dialSMTP(ctx, target)
	if err != nil {
		return err
	}
	defer c.Close()
	sent, err := c.certificates(ctx)
	if err != nil {
		return err
	}
	return judgeCertificates(sent, days, time.Now())
}

func judgeCertificates(sent []*x509.Certificate, days int, now time.Time) error {
	var errs []error
	for _, cert := range sent {
		const day = 24 * time.Hour
		until := cert.NotAfter.UTC().Format(time.DateTime)
		switch left := cert.NotAfter.Sub(now); {
		case now.Before(cert.NotBefore):
			errs = append(errs, fmt.Errorf("the certificate of %q is not valid before %s", cert.Subject, cert.NotBefore.UTC().Format(time.DateTime)))
		case left <= 0:
			errs = append(errs, fmt.Errorf("the certificate of %q has ended on %s", cert.Subject, until))
		case left < time.Duration(days)*day:
			errs = append(errs, fmt.Errorf("the certificate of %q ends in %d days, on %s", cert.Subject, left/day, until))
		}
	}
	return errors.Join(errs...)
}

// certificates are those that the server sends: RFC 3207.
func (c *smtpClient) certificates(ctx context.Context) ([]*x509.Certificate, error) {
	if _, err := c.command(220, "STARTTLS", "STARTTLS"); err != nil {
		return nil, err
	}
	// Nothing is told to the server, and nothing that it says is believed. Whom
	// the certificate is for is the clients' business.
	conn := tls.Client(c.raw, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10})
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, c.failed("TLS handshake", err)
	}
	return conn.ConnectionState().PeerCertificates, nil
}
