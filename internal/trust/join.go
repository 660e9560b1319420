// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"
)

// pinned is for a client that talks to nodes of one authority and nobody else.
func pinned(ca Fingerprint) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// Not less, but something else is verified: see verify.
		InsecureSkipVerify: true,
		VerifyConnection:   func(s tls.ConnectionState) error { return verify(s.PeerCertificates, ca) },
	}
}

// Join asks the node that the token names for a certificate, and puts what it
// gets into the directory, which must not hold a cluster yet. The caller bounds
// it by the context. After it the token is used up, whether it succeeded or not.
func (d Dir) Join(ctx context.Context, t Token) (Welcome, error) {
	for _, name := range []string{d.CA(), d.Node()} {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			return Welcome{}, fmt.Errorf("%s is there already: this node belongs to a cluster; move %s away if that is no more", name, d)
		}
	}
	key, err := newKey()
	if err != nil {
		return Welcome{}, err
	}
	csr, err := request(key)
	if err != nil {
		return Welcome{}, err
	}
	var answer joinAnswer
	err = post(ctx, pinned(t.CA), t.At, JoinPath, joinRequest{t.ID, t.secret, t.Node, csr}, &answer)
	if err != nil {
		return Welcome{}, fmt.Errorf("join cluster %s through %s: %w", t.Cluster, t.At, err)
	}
	if err := d.accept(t, key, answer); err != nil {
		return Welcome{}, fmt.Errorf("join cluster %s through %s: %w", t.Cluster, t.At, err)
	}
	return answer.Welcome, nil
}

// accept checks what came and writes it.
func (d Dir) accept(t Token, key crypto.Signer, answer joinAnswer) error {
	ca, err := parseCert([]byte(answer.CA))
	if err != nil {
		return err
	}
	if fingerprint(ca) != t.CA {
		return errors.New("the authority that was sent is not the token's")
	}
	if err := checkIssued(answer.Cert, key, t.Node); err != nil {
		return err
	}
	if answer.AuthorityKey != "" {
		if _, err := parseAuthority([]byte(answer.CA), []byte(answer.AuthorityKey)); err != nil {
			return fmt.Errorf("the authority that was sent: %w", err)
		}
		if err := d.write(d.AuthorityKey(), []byte(answer.AuthorityKey)); err != nil {
			return err
		}
	}
	// The node's own last: with it, the directory is complete.
	if err := d.write(d.CA(), encodeCert(ca)); err != nil {
		return err
	}
	return d.install([]byte(answer.Cert), key)
}

func checkIssued(text string, key crypto.Signer, node string) error {
	cert, err := parseCert([]byte(text))
	if err != nil {
		return err
	}
	if err := belong(cert, key); err != nil {
		return err
	}
	if cert.Subject.CommonName != node {
		return fmt.Errorf("the certificate that was sent is for %s", cert.Subject.CommonName)
	}
	return nil
}

// RenewFrom asks another node for a new certificate, as a witness has to.
func (d Dir) RenewFrom(ctx context.Context, at netip.AddrPort) error {
	config, err := d.ClientTLS()
	if err != nil {
		return err
	}
	own, err := d.Certificate()
	if err != nil {
		return err
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	csr, err := request(key)
	if err != nil {
		return err
	}
	var answer renewAnswer
	if err := post(ctx, config, at, RenewPath, renewRequest{csr}, &answer); err != nil {
		return fmt.Errorf("renew the certificate through %s: %w", at, err)
	}
	if err := checkIssued(answer.Cert, key, own.Subject.CommonName); err != nil {
		return fmt.Errorf("renew the certificate through %s: %w", at, err)
	}
	return d.install([]byte(answer.Cert), key)
}

// post sends one message and reads the answer.
func post(ctx context.Context, config *tls.Config, at netip.AddrPort, path string, ask, answer any) error {
	body, err := json.Marshal(ask)
	if err != nil {
		return fmt.Errorf("encode a message: %w", err)
	}
	transport := &http.Transport{
		TLSClientConfig: config, TLSHandshakeTimeout: 10 * time.Second,
		DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+at.String()+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return fmt.Errorf("%w; does mailhad run there, and is its TCP port %d open to this node?", err, at.Port())
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var why refusal
		if err := receive(resp.Body, maxRequest, &why); err != nil || why.Error == "" {
			return fmt.Errorf("it answered %s", resp.Status)
		}
		if resp.StatusCode == http.StatusForbidden && path == JoinPath {
			return ErrToken
		}
		return fmt.Errorf("it answered: %s", printable(why.Error))
	}
	return receive(resp.Body, maxAnswer, answer)
}

// printable is foreign text that does nothing to a terminal.
func printable(s string) string {
	clean := []rune(s)
	for i, r := range clean {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			clean[i] = '?'
		}
	}
	if len(clean) > 1000 {
		clean = clean[:1000]
	}
	return string(clean)
}
