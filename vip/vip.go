// SPDX-License-Identifier: Apache-2.0

// Package vip takes, announces, watches and releases the secondary addresses of
// a resource, and keeps the gate in front of them.
//
// It talks to the kernel by netlink, nf_tables and packet sockets, in the network
// namespace of the calling thread, and to nothing else: it runs no program, reads
// no tool's output, keeps no process and no file. What has to outlive a call lives
// in the kernel: the address with its owner tag, and the tables of the gate and of
// the claims watch. It must never announce an address that it does not hold, never
// leave a second copy of an address behind, and never call an address released
// that is still on an interface.
package vip

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// Tag marks our addresses in the kernel (IFA_PROTO, Linux 5.18 and later; see Owned).
const Tag = 0x6d

// Config describes the secondary addresses of one resource.
type Config struct {
	// Owner is the resource's name, unique on this node. It appears in errors and names the
	// nf_tables tables of the claims watch. At most 64 bytes.
	Owner string
	// Addrs are the addresses as they are installed; /32 and /128 are the normal prefix lengths.
	// With a shorter one the kernel makes addresses of one subnet depend on each other (ip-sysctl,
	// promote_secondaries). At most 64; more than 12 IPv4 addresses on one interface make Take and Check
	// send more ARP packets in a second than a port with dynamic ARP inspection lets through by default.
	Addrs []netip.Prefix
	// Interface to use. Empty: for each address, the interface that has the most specific
	// connected route covering it.
	Interface string
	// Label of IPv4 addresses (ip-address(8)), at most 15 bytes. Empty: none.
	Label string
	// Source lets the kernel choose the IPv6 addresses as source of new connections. By default they
	// are installed with a preferred lifetime of 0, so that only who binds to them uses them.
	Source bool
	// PrefixRoute lets the kernel add the route to the prefix. By default only the address is added.
	PrefixRoute bool
	// Valid says for how long from now an address may be held that is being taken; see Extend. Nil: until it is
	// released.
	Valid func() time.Duration
	// Probe tunes the duplicate probe of Take.
	Probe ProbeConfig
	// ARPRate is how many ARP packets this Set may announce with in a second on an interface, 12 to 10000; 0 for 12,
	// which ports with dynamic ARP inspection let through by default.
	ARPRate int
	// Gateways that must learn the new place of the addresses; at most one of each family is used.
	// A family without one: the gateway of the default route on the address's interface.
	Gateways []netip.Addr
	// Wait lists TCP ports on which new connections from other hosts wait while nobody listens, instead of
	// being refused. It needs the socket expression of nf_tables.
	Wait []uint16
	// Remember is how long a rival is remembered after it was last heard, 0 for 30 s. A live rival
	// answers the probe of each Check; longer than the interval between two Checks is useful.
	Remember time.Duration
	// Listen is how long Check waits for a rival's answer where nf_tables can't be used, 0 for 3 ms.
	Listen time.Duration
}

// ProbeConfig tunes the probe for other holders that precedes taking an address. It is RFC 5227 section 2.1.1
// and RFC 4862 section 5.4 with short times, because the cluster has already decided who may have the address
// and each millisecond is downtime. Zero values give 3 probes 5 ms apart and 10 ms for late answers: 20 ms in
// all, many times what a host takes to answer; one that is slower still is seen by the first Check. A set with more than two IPv4 addresses sends fewer probes of each, at least one, to spare switch ports
// that limit ARP.
type ProbeConfig struct {
	Count    int           // probes of each address, 1 to 10; 0 for 3
	Interval time.Duration // between two of them, at most 2 s; 0 for 5 ms
	Wait     time.Duration // after the last one, at most 2 s; 0 for 10 ms
	Off      bool          // take without asking
	// Brief is for addresses that their former holder has just proved to have let go: two probes at most, a millisecond
	// apart, and 3 ms for answers. Clients of a planned move wait for each.
	Brief bool
}

// Set is the secondary addresses of one resource. Its methods may not be called concurrently.
type Set struct {
	cfg    Config
	log    *slog.Logger
	pace   pacer
	watch  watch
	warned sync.Once // that there is no claims watch
}

// Limits of a Config. Whoever reads parameters refuses what is beyond the exported ones there: a
// stop that has them in its hands could release nothing.
const (
	MaxName      = 15              // bytes of an interface's name and of a label: IFNAMSIZ-1
	MaxAddrs     = 64              // addresses
	MaxProbeTime = 2 * time.Second // each time of ProbeConfig

	maxOwner   = 64 // bytes
	maxARPRate = 10000
)

// New checks cfg and returns its Set; nothing is touched before a method is called. A nil log discards.
func New(cfg Config, log *slog.Logger) (*Set, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("addresses of %q: %w", cfg.Owner, err)
	}
	return &Set{cfg: cfg, log: log.With("resource", cfg.Owner), pace: pacer{rate: cfg.ARPRate}, watch: watch{owner: cfg.Owner, remember: cfg.Remember}}, nil
}

// complete checks c and fills in its defaults.
func (c *Config) complete() error {
	if err := checkOwner(c.Owner); err != nil {
		return err
	}
	if len(c.Label) > MaxName {
		return fmt.Errorf("label %q is longer than %d bytes", c.Label, MaxName)
	}
	if len(c.Interface) > MaxName {
		return fmt.Errorf("interface name %q is longer than %d bytes", c.Interface, MaxName)
	}
	if len(c.Addrs) == 0 || len(c.Addrs) > MaxAddrs {
		return fmt.Errorf("%d addresses given, want 1 to %d", len(c.Addrs), MaxAddrs)
	}
	seen := make(map[netip.Addr]bool, len(c.Addrs))
	for _, p := range c.Addrs {
		if err := checkAddr(p); err != nil {
			return err
		}
		if seen[p.Addr()] {
			return fmt.Errorf("address %s given twice", p.Addr())
		}
		seen[p.Addr()] = true
	}
	for _, gw := range c.Gateways {
		if !gw.IsValid() || gw.IsUnspecified() || gw.IsMulticast() || gw.Is4In6() || gw.Zone() != "" {
			return fmt.Errorf("gateway %s can't be a gateway's address", gw)
		}
	}
	if c.ARPRate != 0 && (c.ARPRate < paceBudget || c.ARPRate > maxARPRate) {
		return fmt.Errorf("%d ARP packets a second, want %d to %d", c.ARPRate, paceBudget, maxARPRate)
	}
	if c.Remember < 0 || c.Listen < 0 {
		return errors.New("negative duration")
	}
	c.Remember = orDefault(c.Remember, 30*time.Second)
	c.Listen = orDefault(c.Listen, 3*time.Millisecond)
	return c.Probe.complete()
}

func (p *ProbeConfig) complete() error {
	p.Count = orDefault(p.Count, 3)
	p.Interval = orDefault(p.Interval, 5*time.Millisecond)
	p.Wait = orDefault(p.Wait, 10*time.Millisecond)
	if p.Brief {
		p.Count, p.Interval, p.Wait = min(p.Count, 2), min(p.Interval, time.Millisecond), min(p.Wait, 3*time.Millisecond)
	}
	if p.Count < 1 || p.Count > 10 || p.Interval < 0 || p.Interval > MaxProbeTime || p.Wait < 0 || p.Wait > MaxProbeTime {
		return fmt.Errorf("probe: want a count of 1 to 10 and times up to %s", MaxProbeTime)
	}
	return nil
}

func checkOwner(owner string) error {
	if owner == "" || len(owner) > maxOwner {
		return fmt.Errorf("owner %q: want 1 to %d bytes", owner, maxOwner)
	}
	return nil
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
