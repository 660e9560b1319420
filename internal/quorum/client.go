// SPDX-License-Identifier: Apache-2.0

package quorum

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// Endpoints is an etcd cluster as a client reaches it.
type Endpoints struct {
	// URLs are those of its members, such as https://192.0.2.1:2379.
	URLs []string
	// TLS are the files for https; the client's own certificate may be missing
	// where the cluster asks for none.
	TLS Files
	// Log gets what the client library says, as Config.Log does.
	Log *slog.Logger
}

// again is how often a member is tried that cannot be reached. By itself, gRPC would wait up to
// two minutes, and a cluster whose etcd is back would not know it.
func again() grpc.ConnectParams {
	return grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
		MinConnectTimeout: 3 * time.Second,
	}
}

// Dial makes a client of the cluster. It waits for nobody: a cluster that
// cannot be reached shows with the first request. The caller closes it.
func Dial(e Endpoints) (*clientv3.Client, error) {
	if len(e.URLs) == 0 {
		return nil, errors.New("no endpoint of etcd is given")
	}
	if e.Log == nil {
		e.Log = slog.New(slog.DiscardHandler)
	}
	cfg := clientv3.Config{
		Endpoints: e.URLs,
		// A member that lost its power never closes its connections. With these
		// two, the kernel gives up what is not acknowledged within the timeout
		// (TCP_USER_TIMEOUT), and gRPC looks after a silent one.
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 2 * time.Second,
		PermitWithoutStream:  false,
		DialOptions:          []grpc.DialOption{grpc.WithConnectParams(again())},
		Logger:               logger{slog: e.Log}.zap(),
	}
	for _, u := range e.URLs {
		switch {
		case strings.HasPrefix(u, "https://"):
		case strings.HasPrefix(u, "http://"):
			if !e.TLS.empty() {
				return nil, fmt.Errorf("endpoint %s is without TLS, though files for it are given", u)
			}
		default:
			return nil, fmt.Errorf("endpoint %q is no URL that begins with https:// or http://", u)
		}
	}
	if strings.HasPrefix(e.URLs[0], "https://") {
		var err error
		if cfg.TLS, err = e.TLS.client(); err != nil {
			return nil, err
		}
	}
	client, err := clientv3.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("make a client of etcd at %s: %w", strings.Join(e.URLs, ", "), err)
	}
	return client, nil
}

func (f Files) client() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("read the authority's certificate: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", f.CA)
		}
	}
	if f.Cert != "" {
		if _, err := tls.LoadX509KeyPair(f.Cert, f.Key); err != nil {
			return nil, fmt.Errorf("read the node's certificate: %w", err)
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
			return &pair, err
		}
	}
	return config, nil
}

// Client asks the cluster; it is etcd's own.
type Client = clientv3.Client
