// SPDX-License-Identifier: Apache-2.0

package internet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"strings"
	"time"

	"github.com/mailha/mailha/agents/ldap"
	"github.com/mailha/mailha/agents/probe"
)

// ask has the daemon greet as its protocol wants it, and returns the certificates
// that it showed.
func ask(ctx context.Context, q protocol, addr netip.Addr) ([]*x509.Certificate, error) {
	if q.family() == directory {
		return askDirectory(ctx, q, addr)
	}
	ways := map[tlsMode]probe.TLS{none: probe.None, starttls: probe.StartTLS, implicit: probe.Implicit}
	// Implicit TLS is the same protocol inside.
	name := strings.TrimSuffix(q.name, "s")
	return probe.Greet(ctx, name, probe.Target{Addr: netip.AddrPortFrom(addr, q.port), TLS: ways[q.tls]})
}

// askDirectory reads the entry that every directory server has: RFC 4512 section
// 5.1. The certificate is not verified: it is the daemon's own address that is
// asked, by whatever name the certificate has.
func askDirectory(ctx context.Context, q protocol, addr netip.Addr) ([]*x509.Certificate, error) {
	scheme := "ldap"
	if q.tls == implicit {
		scheme = "ldaps"
	}
	u, err := ldap.ParseURL(scheme + "://" + netip.AddrPortFrom(addr, q.port).String())
	if err != nil {
		return nil, err
	}
	unverified := &tls.Config{InsecureSkipVerify: true}
	const patience = 5 * time.Second // for each answer
	c, err := ldap.Dial(ctx, u, patience, unverified)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if q.tls == starttls {
		if err := c.StartTLS(unverified); err != nil {
			return nil, err
		}
	}
	var shown []*x509.Certificate
	if cert := c.Certificate(); cert != nil {
		shown = append(shown, cert)
	}
	_, err = c.RootDSE()
	return shown, err
}
