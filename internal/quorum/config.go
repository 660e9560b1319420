// SPDX-License-Identifier: Apache-2.0

package quorum

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
)

// Config is what a member of the embedded etcd needs to know.
type Config struct {
	// Name is the node's, and the same as long as the node lives.
	Name string
	// Cluster is the cluster's name. Members of another one are refused.
	Cluster string
	// Dir holds etcd's data, with mode 0700. It should not be on the disk of the
	// mail spool: one that is slow to sync costs the cluster its leader.
	Dir string
	// Peer and Client are where the other members, and clients, reach this one.
	Peer, Client netip.AddrPort
	// TLS is for both; without it only loopback addresses are taken.
	TLS Files
	// Heartbeat is how often a leader tells that it lives; 0 is 100 ms. At least 10 ms.
	Heartbeat time.Duration
	// Election is how long members wait for that before they choose another; 0 is
	// ten heartbeats. At least five of them, at most 50 s, whole milliseconds.
	Election time.Duration
	// Others are the client URLs of the other members that the configuration file
	// knows. A member whose data directory is empty asks them what it is.
	Others []string
	// Log gets what etcd says: its information at debug level, its warnings at
	// info, its errors as warnings. nil is silence.
	Log *slog.Logger

	alone bool   // forget the other members: see Rescue
	token string // of the founding: see Found
}

const (
	defaultHeartbeat = 100 * time.Millisecond
	quota            = 256 << 20 // bytes of a database that holds some hundred kB
)

// checked is the configuration with its defaults, or what is wrong with it.
func (c Config) checked() (Config, error) {
	if c.Heartbeat == 0 {
		c.Heartbeat = defaultHeartbeat
	}
	if c.Election == 0 {
		c.Election = 10 * c.Heartbeat
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	var errs []error
	add := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	add(c.Name != "" && c.Cluster != "", "the names of the node and of the cluster must be given")
	add(!strings.ContainsAny(c.Name, ",="), "the node's name %q has a comma or an equals sign", c.Name)
	add(filepath.IsAbs(c.Dir), "the data directory %q is not an absolute path", c.Dir)
	add(c.Peer.IsValid() && c.Client.IsValid(), "the node's addresses for members and clients must be given with their ports")
	add(!c.TLS.empty() || c.Peer.Addr().IsLoopback() && c.Client.Addr().IsLoopback(),
		"etcd is not run without TLS on addresses that others reach (%s, %s)", c.Peer, c.Client)
	add(c.Heartbeat >= 10*time.Millisecond, "a heartbeat of %s is below 10 ms", c.Heartbeat)
	add(c.Election >= 5*c.Heartbeat && c.Election <= 50*time.Second,
		"an election timeout of %s is not between five heartbeats (%s) and 50 s", c.Election, 5*c.Heartbeat)
	return c, errors.Join(errs...)
}

// Files are the PEM files that a node proves itself with, to members and as a
// client. They are read anew for each connection, so that a renewed certificate
// needs no restart; only the authority is read once.
type Files struct {
	CA, Cert, Key string
	// Member is a name that the certificate of each member has, and no other that
	// the authority signed; members refuse who lacks it. Empty takes them all.
	Member string
}

func (f Files) empty() bool { return f.CA == "" && f.Cert == "" && f.Key == "" }

func (f Files) etcd() transport.TLSInfo {
	if f.empty() {
		return transport.TLSInfo{}
	}
	info := transport.TLSInfo{
		CertFile: f.Cert, KeyFile: f.Key, TrustedCAFile: f.CA, ClientCertAuth: true,
		// The address that a member calls from may be a VIP, which its certificate
		// cannot name; the certificate itself is the proof.
		SkipClientSANVerify: true,
	}
	if f.Member != "" {
		info.AllowedHostnames = []string{f.Member}
	}
	return info
}

func (c Config) url(at netip.AddrPort) url.URL {
	u := url.URL{Scheme: "https", Host: at.String()}
	if c.TLS.empty() {
		u.Scheme = "http"
	}
	return u
}

// member is the configuration in etcd's words. The cluster is by name=URL,…
func (c Config) member(log logger, cluster string, state string) *embed.Config {
	peer, client := c.url(c.Peer), c.url(c.Client)
	e := embed.NewConfig()
	e.Name, e.Dir = c.Name, c.Dir
	e.InitialCluster, e.InitialClusterToken, e.ClusterState = cluster, c.Cluster+c.token, state
	e.ListenPeerUrls, e.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	e.ListenClientUrls, e.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	e.PeerTLSInfo, e.ClientTLSInfo = c.TLS.etcd(), c.TLS.etcd()
	e.TickMs, e.ElectionMs = uint(c.Heartbeat.Milliseconds()), uint(c.Election.Milliseconds())
	e.QuotaBackendBytes = quota
	e.AutoCompactionMode, e.AutoCompactionRetention = embed.CompactorModeRevision, "10000"
	e.EnableGRPCGateway = false
	e.ForceNewCluster = c.alone
	e.MaxLearners = 8 // as many as may join at the same time
	e.ZapLoggerBuilder = embed.NewZapLoggerBuilder(log.zap())
	return e
}

// dir makes the data directory, and gives it its mode if it has another one.
func (c Config) dir() error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	if err := os.Chmod(c.Dir, 0o700); err != nil {
		return fmt.Errorf("keep others out of the data directory: %w", err)
	}
	return nil
}
