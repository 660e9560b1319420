// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// Host is a machine on the lab's network that is not a node: a network
// namespace in which programs of the host run. The client is one.
type Host struct {
	lab   *Lab
	name  string
	addrs []netip.Addr
}

// Node names and host names become interface names (15 characters at most)
// behind "vb-".
var hostRE = regexp.MustCompile(`^[a-z][a-z0-9]{0,11}$`)

// AddHost adds a machine with the given addresses, on the lab's subnets or as
// /32 and /128 outside of them. The name is a lower-case letter and up to 11
// lower-case letters or digits, and none that the lab has already.
func (l *Lab) AddHost(ctx context.Context, name string, addrs ...netip.Addr) (*Host, error) {
	if !hostRE.MatchString(name) || name == "lan" || l.Node(name) != nil {
		return nil, fmt.Errorf("lab %s: host name %q: want a new name, a lower-case letter and up to 11 letters or digits", l.name, name)
	}
	h := &Host{lab: l, name: name, addrs: addrs}
	if err := h.cgroup().create(); err != nil {
		return nil, err
	}
	if err := tool(ctx, "", "ip", "netns", "add", h.netns()); err != nil {
		return nil, fmt.Errorf("lab %s: host %s: %w", l.name, name, err)
	}
	lan := fmt.Sprintf("link add %s type veth peer name eth0 netns %s\nlink set %[1]s master %[3]s up\n", port(name), h.netns(), bridge)
	if err := tool(ctx, lan, "ip", "-n", lanNS(l.name), "-batch", "-"); err != nil {
		return nil, fmt.Errorf("lab %s: host %s: %w", l.name, name, err)
	}
	if err := tool(ctx, h.setup(), "ip", "-n", h.netns(), "-batch", "-"); err != nil {
		return nil, fmt.Errorf("lab %s: host %s: %w", l.name, name, err)
	}
	return h, nil
}

// setup gives the commands for "ip -batch" inside the host. Its fixed addresses
// skip duplicate address detection so that they can be used at once.
func (h *Host) setup() string {
	var b strings.Builder
	b.WriteString("link set lo up\nlink set eth0 up\n")
	for _, a := range h.addrs {
		bits, flags := a.BitLen(), ""
		if Subnet4.Contains(a) {
			bits = Subnet4.Bits()
		} else if Subnet6.Contains(a) {
			bits = Subnet6.Bits()
		}
		if a.Is6() {
			flags = " nodad"
		}
		fmt.Fprintf(&b, "addr add %s/%d dev eth0%s\n", a, bits, flags)
	}
	return b.String()
}

// Client returns the machine outside the cluster, 10.77.0.100 and fd77::100.
func (l *Lab) Client() *Host {
	return &Host{lab: l, name: "client", addrs: []netip.Addr{ip4(clientOctet), ip6(clientOctet)}}
}

// Host returns the machine of that name that the client or AddHost made, nil if
// there is none. Its addresses are known to AddHost's caller only.
func (l *Lab) Host(name string) *Host {
	h := &Host{lab: l, name: name}
	if _, err := os.Stat(filepath.Join(netnsDir, h.netns())); err != nil || !hostRE.MatchString(name) || name == "lan" {
		return nil
	}
	return h
}

// Name returns the host's name.
func (h *Host) Name() string { return h.name }

// Addrs returns the addresses that the host was made with.
func (h *Host) Addrs() []netip.Addr { return h.addrs }

func (h *Host) netns() string { return netnsName(h.lab.name, h.name) }

func (h *Host) cgroup() cgroup { return labCgroup(h.lab.name, h.name) }

// Command returns a command that runs a program of the host inside the
// machine's network, ready to be given pipes and started. Its processes die
// with ctx, and with the lab.
func (h *Host) Command(ctx context.Context, argv ...string) *exec.Cmd {
	return command(ctx, h.cgroup(), append([]string{"nsenter", "--net=" + filepath.Join(netnsDir, h.netns()), "--"}, argv...)...)
}

// Exec runs a program to its end. An exit code other than 0 is not an error.
func (h *Host) Exec(ctx context.Context, argv ...string) (Result, error) {
	return result(ctx, h.Command(ctx, argv...))
}

// Output runs a program and returns its trimmed standard output; any exit code
// but 0 is an error that carries what it said.
func (h *Host) Output(ctx context.Context, argv ...string) (string, error) {
	r, err := h.Exec(ctx, argv...)
	return output(r, err, "lab "+h.lab.name+": "+h.name, argv)
}

// Do runs f on a thread inside the machine's network, so that sockets that f
// makes belong to the machine for as long as they live. That goes for f alone,
// not for goroutines that it starts: dial IP addresses, not names.
func (h *Host) Do(f func() error) error { return inNetns(h.netns(), f) }
