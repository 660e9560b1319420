// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// DefaultDir is where a node keeps its certificates.
const DefaultDir Dir = "/etc/mailha/tls"

// ErrNoAuthority: this node does not hold the authority's key, as a witness does not.
var ErrNoAuthority = errors.New("the key of the cluster's authority is not on this node")

// ErrAuthorityEnds: the authority's own certificate ends, and the nodes' with it.
var ErrAuthorityEnds = errors.New("the certificate of the cluster's authority ends")

// Dir is the directory, of mode 0700, that holds a node's PEM files, of mode 0600.
type Dir string

// CA is the file with the authority's certificate.
func (d Dir) CA() string { return filepath.Join(string(d), "ca.pem") }

// AuthorityKey is the file with the authority's key; missing on a witness.
func (d Dir) AuthorityKey() string { return filepath.Join(string(d), "ca.key") }

// Node is the file with both the node's certificate and its key, so that a
// renewal replaces both or none.
func (d Dir) Node() string { return filepath.Join(string(d), "node.pem") }

// Found makes the authority of a new cluster and the certificate of this, its
// first node. It replaces nothing.
func (d Dir) Found(cluster string, node Subject, now time.Time) error {
	if err := checkName(cluster); err != nil {
		return err
	}
	for _, name := range []string{d.CA(), d.AuthorityKey(), d.Node()} {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there already: this node belongs to a cluster; move %s away if that is no more", name, d)
		}
	}
	authority, err := NewAuthority(cluster, now)
	if err != nil {
		return err
	}
	key, err := encodeKey(authority.key)
	if err != nil {
		return err
	}
	if err := errors.Join(d.write(d.AuthorityKey(), key), d.write(d.CA(), encodeCert(authority.cert))); err != nil {
		return err
	}
	return d.certify(authority, node, now.Add(-backdate), now)
}

// certify makes a new key and certificate of the node, good from then.
func (d Dir) certify(a *Authority, node Subject, from, now time.Time) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	cert, err := a.issue(node, key.Public(), from, now)
	if err != nil {
		return err
	}
	return d.install(cert, key)
}

// install puts the node's certificate and key in place.
func (d Dir) install(cert []byte, key crypto.Signer) error {
	text, err := encodeKey(key)
	if err != nil {
		return err
	}
	return d.write(d.Node(), append(bytes.Clone(cert), text...))
}

// Authority is the authority with its key. It returns ErrNoAuthority.
func (d Dir) Authority() (*Authority, error) {
	key, err := d.read(d.AuthorityKey())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (%s)", ErrNoAuthority, d.AuthorityKey())
	}
	if err != nil {
		return nil, err
	}
	cert, err := d.read(d.CA())
	if err != nil {
		return nil, err
	}
	a, err := parseAuthority(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", d.CA(), d.AuthorityKey(), err)
	}
	return a, nil
}

// Certificate is the node's own.
func (d Dir) Certificate() (*x509.Certificate, error) {
	text, err := d.read(d.Node())
	if err != nil {
		return nil, err
	}
	cert, err := parseCert(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Node(), err)
	}
	return cert, nil
}

// due says whether a certificate has less left than a third of what a new one has.
func due(cert *x509.Certificate, now time.Time) bool { return cert.NotAfter.Sub(now) < nodeLife/3 }

// Renew makes a new certificate if the node's own is due, or lacks one of the
// addresses, and says whether it did. It returns ErrNoAuthority if one is due that it
// cannot make: then RenewFrom asks a node that can, which certifies no new addresses. It
// returns ErrAuthorityEnds if a new one would last no longer.
//
// The new one is good from when the old one was, so that a node whose clock is ahead
// does not shut itself out.
func (d Dir) Renew(node Subject, now time.Time) (bool, error) {
	cert, err := d.Certificate()
	if err != nil {
		return false, err
	}
	if !due(cert, now) && covers(cert, node) {
		return false, nil
	}
	a, err := d.Authority()
	if errors.Is(err, ErrNoAuthority) && !due(cert, now) {
		return false, nil // nobody would give it the address, however often it asked
	}
	if err != nil {
		return false, err
	}
	if covers(cert, node) && !cert.NotAfter.Before(a.cert.NotAfter) {
		return false, fmt.Errorf("%w on %s", ErrAuthorityEnds, a.cert.NotAfter.Format(time.DateOnly))
	}
	if err := d.certify(a, node, cert.NotBefore, now); err != nil {
		return false, err
	}
	return true, nil
}

func covers(cert *x509.Certificate, node Subject) bool {
	if cert.Subject.CommonName != node.Name {
		return false
	}
	for _, addr := range node.Addresses {
		if cert.VerifyHostname(addr.Unmap().String()) != nil {
			return false
		}
	}
	return true
}

// TLS is for a server that shows the node's certificate with the authority's, and
// takes clients that the authority certified as well as those without a
// certificate: the handler looks. Certificates are read anew for each connection.
func (d Dir) TLS() (*tls.Config, error) {
	text, err := d.read(d.CA())
	if err != nil {
		return nil, err
	}
	authority, err := parseCert(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.CA(), err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(authority)
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: tls.VerifyClientCertIfGiven,
		ClientCAs:  clients,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			pair, err := d.pair()
			if err != nil {
				return nil, err
			}
			pair.Certificate = append(pair.Certificate, authority.Raw)
			return pair, nil
		},
	}, nil
}

// ClientTLS is for a client that shows the node's certificate to another node.
func (d Dir) ClientTLS() (*tls.Config, error) {
	text, err := d.read(d.CA())
	if err != nil {
		return nil, err
	}
	authority, err := parseCert(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.CA(), err)
	}
	config := pinned(fingerprint(authority))
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return d.pair() }
	return config, nil
}

func (d Dir) pair() (*tls.Certificate, error) {
	text, err := d.read(d.Node())
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Node(), err)
	}
	return &pair, nil
}

// read refuses a file that others can read.
func (d Dir) read(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("read a certificate: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 && name != d.CA() {
		return nil, fmt.Errorf("%s can be read by others (mode %o): run \"chmod 600 %s\", and think about who may have", name, info.Mode().Perm(), name)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read a certificate: %w", err)
	}
	return text, nil
}

// write puts a file in place, whole or not at all.
func (d Dir) write(name string, text []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", name, err)
		}
	}()
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	if err := os.Chmod(string(d), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(string(d), ".new-*") // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), name); err != nil {
		return err
	}
	dir, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
