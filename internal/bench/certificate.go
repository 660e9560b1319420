// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"time"
)

// certify puts certificates with their keys on the node, a good one that the
// services use and one that has ended.
func (th theatre) certify() error {
	const day = 24 * time.Hour
	good, err := certificate(time.Now().Add(300 * day))
	if err != nil {
		return err
	}
	ended, err := certificate(time.Now().Add(-day))
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"good": good, "expired": ended, "live": good} {
		const everybody = 0o644 // the services have different users, and the key protects nothing
		if err := th.Node.Push("/etc/bench/"+name+".pem", data, everybody); err != nil {
			return err
		}
	}
	return nil
}

// certificate makes one that signs itself, with its key.
func certificate(until time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(until.Unix()),
		Subject:      pkix.Name{CommonName: "mail.example.test"},
		DNSNames:     []string{"mail.example.test"},
		NotBefore:    until.AddDate(-1, 0, 0),
		NotAfter:     until,
	}
	cert, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return slices.Concat(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	), nil
}
