// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// ErrToken: a token is unknown, used, over, or its secret is wrong. It does not
// say which.
var ErrToken = errors.New("the token is not good, or no longer: make a new one by \"mailhactl cluster token\" on a node of the cluster")

// Invitations are where the cluster keeps them.
type Invitations interface {
	// Invitation returns the one of that ID, or ErrToken.
	Invitation(ctx context.Context, id string) (Invitation, error)
	// Redeem removes it, or returns ErrToken if somebody else has.
	Redeem(ctx context.Context, i Invitation) error
}

// Door lets new nodes in, and renews the certificates of those that hold no
// authority. It is an http.Handler for JoinPath and RenewPath on a listener with
// Dir.TLS, and works on any node that holds the authority.
type Door struct {
	Dir         Dir
	Invitations Invitations
	// Admit prepares the cluster for a node whose token was good, and says what it
	// needs to know. Its error is shown to the new node.
	Admit func(ctx context.Context, i Invitation) (Welcome, error)
	Log   *slog.Logger
	// Now is the wall clock; nil is time.Now.
	Now func() time.Time
}

// joinTime is how long letting in may take: etcd has to agree to a new member.
const joinTime = 20 * time.Second

// ServeHTTP answers one request.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), joinTime)
	defer cancel()
	var answer any
	var err error
	switch {
	case r.TLS == nil:
		err = refused{http.StatusForbidden, errors.New("this needs TLS")}
	case r.Method != http.MethodPost:
		err = refused{http.StatusMethodNotAllowed, errors.New("this is to be posted")}
	case r.URL.Path == JoinPath:
		answer, err = d.join(ctx, r)
	case r.URL.Path == RenewPath:
		answer, err = d.renew(r)
	default:
		err = refused{http.StatusNotFound, errors.New("there is nothing here")}
	}
	status := http.StatusOK
	if err != nil {
		status = http.StatusServiceUnavailable
		var why refused
		if errors.As(err, &why) {
			status = why.status
		}
		d.Log.Warn("a node was not let in, or its certificate not renewed", "from", r.RemoteAddr, "error", err)
		answer = refusal{err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		d.Log.Warn("a node did not get its answer", "from", r.RemoteAddr, "error", err)
	}
}

// refused is an error with its HTTP status.
type refused struct {
	status int
	error
}

func (r refused) Unwrap() error { return r.error }

func (d *Door) now() time.Time {
	if d.Now != nil {
		return d.Now()
	}
	return time.Now()
}

func (d *Door) join(ctx context.Context, r *http.Request) (any, error) {
	var ask joinRequest
	if err := receive(r.Body, maxRequest, &ask); err != nil {
		return nil, refused{http.StatusBadRequest, err}
	}
	forbidden := refused{http.StatusForbidden, ErrToken}
	i, err := d.Invitations.Invitation(ctx, ask.ID)
	if errors.Is(err, ErrToken) {
		return nil, forbidden
	}
	if err != nil {
		return nil, fmt.Errorf("the tokens cannot be looked up: %w", err)
	}
	if !i.opens(ask.Secret) || i.Node != ask.Node || !d.now().Before(i.Until) {
		return nil, forbidden
	}
	public, err := requested(ask.CSR)
	if err != nil {
		return nil, refused{http.StatusBadRequest, err}
	}
	authority, err := d.Dir.Authority()
	if err != nil {
		return nil, err
	}
	// From here on it is used up, whatever comes: twice is worse than not at all.
	if err := d.Invitations.Redeem(ctx, i); errors.Is(err, ErrToken) {
		return nil, forbidden
	} else if err != nil {
		return nil, fmt.Errorf("the token cannot be redeemed: %w", err)
	}
	cert, err := authority.Issue(Subject{i.Node, RoleNode, i.Addresses}, public, d.now())
	if err != nil {
		return nil, err
	}
	welcome, err := d.Admit(ctx, i)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be admitted: %w", i.Node, err)
	}
	answer := joinAnswer{Cert: string(cert), CA: string(encodeCert(authority.cert)), Welcome: welcome}
	if !i.Witness {
		key, err := encodeKey(authority.key)
		if err != nil {
			return nil, err
		}
		answer.AuthorityKey = string(key)
	}
	d.Log.Info("a node was let in", "node", i.Node, "witness", i.Witness, "from", r.RemoteAddr, "invited_by", i.By)
	return answer, nil
}

// renew certifies a new key for whoever shows a good certificate of a node: the
// same name, the same addresses.
func (d *Door) renew(r *http.Request) (any, error) {
	forbidden := refused{http.StatusForbidden, errors.New("only a node of the cluster may ask for this")}
	if len(r.TLS.VerifiedChains) == 0 {
		return nil, forbidden
	}
	node, err := SubjectOf(r.TLS.VerifiedChains[0][0])
	if err != nil || node.Role != RoleNode {
		return nil, forbidden
	}
	var ask renewRequest
	if err := receive(r.Body, maxRequest, &ask); err != nil {
		return nil, refused{http.StatusBadRequest, err}
	}
	public, err := requested(ask.CSR)
	if err != nil {
		return nil, refused{http.StatusBadRequest, err}
	}
	authority, err := d.Dir.Authority()
	if err != nil {
		return nil, err
	}
	cert, err := authority.Issue(node, public, d.now())
	if err != nil {
		return nil, err
	}
	d.Log.Info("a node's certificate was renewed", "node", node.Name)
	return renewAnswer{string(cert)}, nil
}

// Server is an http.Server for the door, with bounds on what a stranger can hold up.
func (d *Door) Server() (*http.Server, error) {
	config, err := d.Dir.TLS()
	if err != nil {
		return nil, err
	}
	return &http.Server{
		Handler: d, TLSConfig: config,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: joinTime + 10*time.Second,
		IdleTimeout: 5 * time.Second, MaxHeaderBytes: 8 << 10,
		ErrorLog: slog.NewLogLogger(d.Log.Handler(), slog.LevelDebug),
	}, nil
}

// verify holds the certificate that a server showed against the pinned authority.
func verify(chain []*x509.Certificate, ca Fingerprint) error {
	for _, cert := range chain {
		if fingerprint(cert) != ca || !cert.IsCA {
			continue
		}
		roots := x509.NewCertPool()
		roots.AddCert(cert)
		// The address that was called need not be in the certificate; that it is a
		// member of the cluster must be.
		if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: Member}); err != nil {
			return fmt.Errorf("its certificate is not good (is one of the two clocks wrong?): %w", err)
		}
		return nil
	}
	return errors.New("it is not a node of this cluster: its certificate is of another authority")
}
