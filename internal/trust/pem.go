// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func encodeCert(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// block is the one block of a kind that PEM text holds.
func block(text []byte, kind string) ([]byte, error) {
	var found []byte
	for {
		b, rest := pem.Decode(text)
		if b == nil {
			break
		}
		if b.Type == kind {
			if found != nil {
				return nil, fmt.Errorf("there is more than one %q", kind)
			}
			found = b.Bytes
		}
		text = rest
	}
	if found == nil {
		return nil, fmt.Errorf("there is no PEM block %q", kind)
	}
	return found, nil
}

func parseCert(text []byte) (*x509.Certificate, error) {
	der, err := block(text, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse a certificate: %w", err)
	}
	return cert, nil
}

func parseKey(text []byte) (crypto.Signer, error) {
	der, err := block(text, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("the private key cannot be parsed") // without anything of it
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("the private key cannot sign")
	}
	return signer, nil
}

// parseAuthority joins a certificate and its key, if they belong together.
func parseAuthority(cert, key []byte) (*Authority, error) {
	c, err := parseCert(cert)
	if err != nil {
		return nil, err
	}
	if !c.IsCA {
		return nil, errors.New("it is not a certificate of an authority")
	}
	k, err := parseKey(key)
	if err != nil {
		return nil, err
	}
	if err := belong(c, k); err != nil {
		return nil, err
	}
	return &Authority{c, k}, nil
}

func belong(cert *x509.Certificate, key crypto.Signer) error {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(cert.PublicKey) {
		return errors.New("the certificate and the key do not belong together")
	}
	return nil
}
