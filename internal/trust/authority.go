// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// How long certificates are good for. A node's is renewed when less than a third
// of that is left, which leaves the operator eight months to notice.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	nodeLife      = 2 * 365 * 24 * time.Hour
	// Clocks of nodes that join may be a little behind.
	backdate = time.Hour
)

// Member is a name in the certificate of each node, and of nobody else whom the
// authority certifies: etcd's members ask for it before they talk to anybody.
const Member = "member.mailha"

// Role is what a certificate entitles to.
type Role string

// The roles. An operator's and a reader's certificates are for the API; etcd
// refuses both.
const (
	RoleNode     Role = "node"
	RoleOperator Role = "operator"
	RoleReader   Role = "reader"
)

// Subject is whom a certificate is for.
type Subject struct {
	Name      string // of the node or the person: a host name's letters
	Role      Role
	Addresses []netip.Addr // of a node, where others reach it
}

// Authority is the cluster's certificate authority with its key.
type Authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// Fingerprint is SHA-256 of a certificate in DER. It is what a token pins.
type Fingerprint [sha256.Size]byte

func fingerprint(cert *x509.Certificate) Fingerprint { return sha256.Sum256(cert.Raw) }

// NewAuthority makes the authority of a cluster.
func NewAuthority(cluster string, now time.Time) (*Authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "mailha " + cluster},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(authorityLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the cluster's authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make the cluster's authority: %w", err)
	}
	return &Authority{cert, key}, nil
}

// Fingerprint is that of the authority's certificate.
func (a *Authority) Fingerprint() Fingerprint { return fingerprint(a.cert) }

// Issue certifies a public key. The certificate is returned in PEM.
func (a *Authority) Issue(s Subject, public crypto.PublicKey, now time.Time) ([]byte, error) {
	return a.issue(s, public, now.Add(-backdate), now)
}

func (a *Authority) issue(s Subject, public crypto.PublicKey, from, now time.Time) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if ec, ok := public.(*ecdsa.PublicKey); !ok || ec.Curve != elliptic.P256() {
		return nil, errors.New("the key to be certified is not of ECDSA with P-256")
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: s.Name, OrganizationalUnit: []string{string(s.Role)}},
		NotBefore:   from,
		NotAfter:    earlier(now.Add(nodeLife), a.cert.NotAfter),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if s.Role == RoleNode {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		template.DNSNames = []string{s.Name, Member}
		for _, addr := range s.Addresses {
			template.IPAddresses = append(template.IPAddresses, addr.Unmap().AsSlice())
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("certify %s: %w", s.Name, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// Identity makes a key and certifies it: both in PEM, for an operator's or a
// reader's own file.
func (a *Authority) Identity(s Subject, now time.Time) ([]byte, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	cert, err := a.Issue(s, key.Public(), now)
	if err != nil {
		return nil, err
	}
	text, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return append(cert, text...), nil
}

func (s Subject) check() error {
	if err := checkName(s.Name); err != nil {
		return err
	}
	if !slices.Contains([]Role{RoleNode, RoleOperator, RoleReader}, s.Role) {
		return fmt.Errorf("unknown role %q", s.Role)
	}
	if s.Name == Member {
		return fmt.Errorf("the name %s is reserved", Member)
	}
	for _, addr := range s.Addresses {
		if !addr.IsValid() || addr.Zone() != "" || addr.IsUnspecified() {
			return fmt.Errorf("the address %s cannot be certified", addr)
		}
	}
	return nil
}

// SubjectOf is whom a certificate is for that this cluster's authority has signed
// and that was verified.
func SubjectOf(cert *x509.Certificate) (Subject, error) {
	s := Subject{Name: cert.Subject.CommonName}
	if len(cert.Subject.OrganizationalUnit) == 1 {
		s.Role = Role(cert.Subject.OrganizationalUnit[0])
	}
	for _, ip := range cert.IPAddresses {
		addr, ok := netip.AddrFromSlice(ip)
		if !ok {
			return Subject{}, errors.New("the certificate has an address of no known kind")
		}
		s.Addresses = append(s.Addresses, addr)
	}
	return s, s.check()
}

func checkName(name string) error {
	good := len(name) >= 1 && len(name) <= 63 && name[0] != '-' && name[0] != '.'
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		good = good && (letter || c == '-' || c == '.' || c == '_')
	}
	if !good {
		return fmt.Errorf("the name %q is not of 1 to 63 letters, digits, dots, hyphens and underscores, or begins with a dot or hyphen", name)
	}
	return nil
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return key, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
