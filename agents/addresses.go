// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mailha/mailha/vip"
)

// Addresses are the parameters about secondary addresses, the same for every
// agent that has some.
type Addresses struct {
	IP            AddressList
	Netmask       prefixBits
	NIC           interfaceName
	Label         label
	NoPrefixRoute Bool
	PreferredLft  preferredLifetime
	Probe         Bool
	ProbeCount    count
	ProbeInterval probeTime
	ProbeWait     probeTime
	Gateway       AddressList
	ARPRate       arpRate
	Refresh       Duration
	Wait          Ports // on which clients wait while nobody listens
}

// NewAddresses returns the defaults.
func NewAddresses() Addresses {
	return Addresses{
		NoPrefixRoute: true,
		PreferredLft:  "0",
		Probe:         true,
		ProbeCount:    3,
		ProbeInterval: probeTime(5 * time.Millisecond),
		ProbeWait:     probeTime(10 * time.Millisecond),
		ARPRate:       12,
		Refresh:       Duration(60 * time.Second),
	}
}

// Params is the part of the table that all agents with addresses share.
func (a *Addresses) Params(required bool) Table {
	return Table{
		{Name: "ip", Value: &a.IP, Required: required, Unique: "address",
			Short: "Secondary IP addresses",
			Long:  "One or more IPv4 and IPv6 addresses, separated by spaces or commas, each with or without a prefix length. They follow the resource from node to node."},
		{Name: "cidr_netmask", Value: &a.Netmask,
			Short: "Prefix length for addresses that name none",
			Long:  "Up to 32 it applies to IPv4 addresses, over 32 to IPv6 addresses. Empty means /32 and /128, so that an address brings no route along and no other address depends on it."},
		{Name: "nic", Value: &a.NIC,
			Short: "Network interface",
			Long:  "The interface that carries the addresses. At most 15 characters. Empty means the one that has a connected route to each address."},
		{Name: "iflabel", Value: &a.Label,
			Short: "Label of the IPv4 addresses",
			Long:  "Shown by ip(8) as INTERFACE:LABEL. Interface and label together may have 15 characters."},
		{Name: "noprefixroute", Value: &a.NoPrefixRoute,
			Short: "Leave out the route to the prefix",
			Long:  "When false, the kernel adds a route for the prefix of each address."},
		{Name: "preferred_lft", Value: &a.PreferredLft,
			Short: "Preferred lifetime of IPv6 addresses: 0 or forever",
			Long:  "With 0 an IPv6 address is deprecated: it serves whoever connects to it, but is not chosen as the source of other connections. With forever it may be."},
		{Name: "probe", Value: &a.Probe, Reloadable: true,
			Short: "Ask whether another host has the addresses before taking them",
			Long:  "IPv4 addresses are probed as RFC 5227 says, with the short times below; IPv6 addresses by neighbour solicitations. An answer makes the start fail and names the MAC address of the other host."},
		{Name: "probe_count", Value: &a.ProbeCount, Reloadable: true,
			Short: "Number of probes",
			Long:  "From 1 to 10."},
		{Name: "probe_interval", Value: &a.ProbeInterval, Reloadable: true,
			Short: "Time between two probes",
			Long:  "With the defaults, all probes and the wait after the last take 20 ms together; a start takes as much longer as these times are. Two seconds at most."},
		{Name: "probe_wait", Value: &a.ProbeWait, Reloadable: true,
			Short: "Time to wait for an answer after the last probe",
			Long:  "Two seconds at most. Hosts answer within a millisecond on most networks. One that is slower than this is reported by the first monitor. Under mailhad, after the former node has just proved that it has let go, two probes a millisecond apart and 3 ms are enough."},
		{Name: "gateway", Value: &a.Gateway, Reloadable: true,
			Short: "Routers to announce the addresses to",
			Long:  "Each is asked for its own address with the secondary IP as the sender; its answer proves that it learned the new place. Empty means the default routers of the interface."},
		{Name: "arp_rate", Value: &a.ARPRate, Reloadable: true,
			Short: "Most ARP packets in a second with which the addresses are announced",
			Long:  "Two for each IPv4 address, and one more where there is a router. From 12 to 10000; the default is what switches with dynamic ARP inspection let through on a port, where 64 addresses take ten seconds. With more they go out evenly. Each resource counts by itself: the port has to take all that may start at the same time."},
		{Name: "refresh_interval", Value: &a.Refresh, Reloadable: true,
			Short: "Time between two announcements while the addresses are held",
			Long:  "Sent by the monitor operation. 0 turns it off."},
	}
}

// interfaceName is a network interface's: IFNAMSIZ of linux/if.h.
type interfaceName string

func (v *interfaceName) Set(s string) error {
	if len(s) > vip.MaxName {
		return fmt.Errorf("is longer than %d characters; an alternative name will not do", vip.MaxName)
	}
	var text Text
	if err := text.Set(s); err != nil {
		return err
	}
	*v = interfaceName(s)
	return nil
}
func (v *interfaceName) String() string { return string(*v) }
func (*interfaceName) OCFType() string  { return "string" }

// probeTime is one of a probe's, which a start waits for.
type probeTime Duration

func (v *probeTime) Set(s string) error {
	var d Duration
	if err := d.Set(s); err != nil {
		return err
	}
	if time.Duration(d) > vip.MaxProbeTime {
		return fmt.Errorf("must be between 0 and %s", vip.MaxProbeTime)
	}
	*v = probeTime(d)
	return nil
}
func (v *probeTime) String() string { return (*Duration)(v).String() }
func (*probeTime) OCFType() string  { return "string" }

// SharedParam is the same for every agent of a service.
func SharedParam(v *AddressList) Param {
	return Param{Name: "shared_ip", Value: v,
		Short: "Secondary addresses of another resource on which clients reach the service",
		Long:  "For services that stand behind one address: the resource that has it, usually of type vip, keeps it, and this one closes and opens its own ports there, counts its own sessions, and is asked for its health there."}
}

// Any says whether there are addresses.
func (a *Addresses) Any() bool { return len(a.IP) > 0 }

// Check reports what is wrong with the parameters as a whole.
func (a *Addresses) Check() error {
	_, err := a.Prefixes()
	return err
}

// Prefixes are the addresses as they are to be installed.
func (a *Addresses) Prefixes() ([]netip.Prefix, error) {
	if len(a.IP) == 0 {
		return nil, nil
	}
	bits4, bits6 := a.Netmask.split()
	prefixes, err := vip.ParseAddrs(a.IP.String(), bits4, bits6)
	if err != nil {
		return nil, &ParamError{Name: "ip", Text: a.IP.String(), Err: err}
	}
	return prefixes, nil
}

// Set makes the addresses ready to use. Those of an earlier start are added to
// it, so that a stop after a change of parameters leaves none behind, and with a
// cidr_netmask that does not fit them they are what Check refuses to have started. Those
// that are taken get the time that env has. It is nil if there are none.
func (a *Addresses) Set(env Env, earlier []netip.Prefix) (*vip.Set, error) {
	prefixes, err := a.Prefixes()
	if err != nil {
		if prefixes, err = vip.ParseAddrs(a.IP.String(), 32, 128); err != nil && len(earlier) == 0 {
			return nil, err
		}
	}
	for _, p := range earlier {
		if !slices.ContainsFunc(prefixes, func(q netip.Prefix) bool { return q.Addr() == p.Addr() }) {
			prefixes = append(prefixes, p)
		}
	}
	if len(prefixes) == 0 {
		return nil, nil
	}
	return vip.New(vip.Config{
		Owner:       env.Instance,
		Addrs:       prefixes,
		Interface:   string(a.NIC),
		Label:       string(a.Label),
		Source:      a.PreferredLft == "forever",
		PrefixRoute: !bool(a.NoPrefixRoute),
		Probe: vip.ProbeConfig{
			Off:      !bool(a.Probe),
			Count:    int(a.ProbeCount),
			Interval: time.Duration(a.ProbeInterval),
			Wait:     time.Duration(a.ProbeWait),
			Brief:    env.Freed,
		},
		ARPRate:  int(a.ARPRate),
		Gateways: a.Gateway.Addrs(),
		Wait:     a.Wait,
		Valid:    env.Valid,
	}, env.Logger())
}

// AddressList is the value of a parameter with addresses. It keeps the text of
// each; the prefix length depends on cidr_netmask, which may be set later.
type AddressList []string

// Set reads addresses separated by spaces or commas.
func (v *AddressList) Set(s string) error {
	if _, err := vip.ParseAddrs(s, 32, 128); err != nil {
		return err
	}
	list := fields(s)
	if len(list) > vip.MaxAddrs {
		return fmt.Errorf("has %d addresses, of which one resource takes %d", len(list), vip.MaxAddrs)
	}
	*v = list
	return nil
}
func (v *AddressList) String() string { return strings.Join(*v, " ") }

// OCFType is the type in the metadata.
func (*AddressList) OCFType() string { return "string" }

// Addrs are the addresses without their prefix lengths.
func (v AddressList) Addrs() []netip.Addr {
	var addrs []netip.Addr
	for _, text := range v {
		// Set has looked at each of them.
		if p, err := netip.ParsePrefix(text); err == nil {
			addrs = append(addrs, p.Addr())
		} else if a, err := netip.ParseAddr(text); err == nil {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// prefixBits is a prefix length; 0 means that of a single host.
type prefixBits int

func (v *prefixBits) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 128 {
		return errors.New("must be a prefix length from 1 to 128, such as 24")
	}
	*v = prefixBits(n)
	return nil
}

// split is the prefix length for addresses of each family.
func (v prefixBits) split() (bits4, bits6 int) {
	switch {
	case v == 0:
		return 32, 128
	case v <= 32:
		return int(v), 128
	}
	return 32, int(v)
}

func (v *prefixBits) String() string {
	if *v == 0 {
		return ""
	}
	return strconv.Itoa(int(*v))
}
func (*prefixBits) OCFType() string { return "integer" }

type label string

func (v *label) Set(s string) error {
	if len(s) > 13 || strings.ContainsAny(s, " :/\t") {
		return errors.New("must be at most 13 characters without spaces, slashes and colons")
	}
	*v = label(s)
	return nil
}
func (v *label) String() string { return string(*v) }
func (*label) OCFType() string  { return "string" }

type preferredLifetime string

func (v *preferredLifetime) Set(s string) error {
	if s != "0" && s != "forever" {
		return errors.New("must be 0 or forever")
	}
	*v = preferredLifetime(s)
	return nil
}
func (v *preferredLifetime) String() string { return string(*v) }
func (*preferredLifetime) OCFType() string  { return "string" }

type count int

func (v *count) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 10 {
		return errors.New("must be a number from 1 to 10")
	}
	*v = count(n)
	return nil
}
func (v *count) String() string { return strconv.Itoa(int(*v)) }
func (*count) OCFType() string  { return "integer" }

type arpRate int

func (v *arpRate) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 12 || n > 10000 {
		return errors.New("must be a number from 12 to 10000")
	}
	*v = arpRate(n)
	return nil
}
func (v *arpRate) String() string { return strconv.Itoa(int(*v)) }
func (*arpRate) OCFType() string  { return "integer" }
