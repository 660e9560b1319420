// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
)

// The paths at which a Door answers. The number is the version of the messages.
const (
	JoinPath  = "/v1/join"
	RenewPath = "/v1/renew"
)

// Sizes in bytes that messages may have. A configuration file may have a mebibyte.
const (
	maxRequest = 16 << 10
	maxAnswer  = 4 << 20
)

// joinRequest is what a node sends that has a token.
type joinRequest struct {
	ID     string `json:"id"`
	Secret []byte `json:"secret"`
	Node   string `json:"node"`
	CSR    string `json:"csr"` // PEM; nothing of it counts but its key
}

// joinAnswer is what it gets.
type joinAnswer struct {
	Cert         string `json:"cert"`
	CA           string `json:"ca"`
	AuthorityKey string `json:"authority_key,omitempty"` // not for a witness
	Welcome
}

// Welcome is what a new node needs to know beside its certificates.
type Welcome struct {
	Config  string `json:"config"` // the configuration file, in TOML; may be empty
	Members []Peer `json:"members"`
}

// Peer is a member of the embedded etcd.
type Peer struct {
	Name   string `json:"name"`
	Peer   string `json:"peer"`   // URL for other members
	Client string `json:"client"` // URL for clients
}

type renewRequest struct {
	CSR string `json:"csr"`
}

type renewAnswer struct {
	Cert string `json:"cert"`
}

// refusal is the answer with any status but 200.
type refusal struct {
	Error string `json:"error"`
}

// receive reads one message.
func receive(r io.Reader, limit int, into any) error {
	data, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return fmt.Errorf("read a message: %w", err)
	}
	if len(data) > limit {
		return fmt.Errorf("a message is longer than %d bytes", limit)
	}
	if err := strict(data, into); err != nil {
		return errors.New("a message is not as expected: the other node's mailha may be of another version")
	}
	return nil
}

// request makes the PEM of a certificate signing request, which proves that
// whoever asks has the key.
func request(key crypto.Signer) (string, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return "", fmt.Errorf("ask for a certificate: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), nil
}

func requested(text string) (crypto.PublicKey, error) {
	der, err := block([]byte(text), "CERTIFICATE REQUEST")
	if err != nil {
		return nil, err
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, errors.New("the request for a certificate cannot be parsed")
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, errors.New("the request for a certificate is not signed by its key")
	}
	return csr.PublicKey, nil
}
