// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mailha/mailha/agents"
)

// Postfix is the backend for one instance of Postfix: postfix(1).
type Postfix struct {
	*Instance
	ConfigDir agents.Path

	house *house // once it was asked for
}

// NewPostfix returns the backend with its defaults.
func NewPostfix(i *Instance) *Postfix { return &Postfix{Instance: i, ConfigDir: "/etc/postfix"} }

// Params is what tells its instances apart, beside what all backends have.
func (p *Postfix) Params() agents.Table {
	return agents.Table{
		{Name: "config_dir", Value: &p.ConfigDir, Unique: "config_dir",
			Short: "Configuration directory of the Postfix instance",
			Long:  "The directory of its main.cf and master.cf. Instances on one node must also differ in queue_directory and data_directory."},
	}
}

// program is the postfix command.
func (p *Postfix) program() string { return cmp.Or(string(p.Binary), "/usr/sbin/postfix") }

// daemons is where Postfix's own programs are if nothing says otherwise.
const daemons = "/usr/lib/postfix/sbin"

// Inspect reads main.cf and master.cf by way of postconf(1).
func (p *Postfix) Inspect(ctx context.Context) (agents.Facts, error) {
	facts := p.facts("mailha-postfix@", p.ConfigDir)
	// postfix(1) exports MAIL_CONFIG, and every daemon inherits it: that names
	// the instance even when its configuration or its queue cannot be read.
	facts.Process.Programs = []string{daemons}
	facts.Process.Environ = "MAIL_CONFIG=" + string(p.ConfigDir)
	if _, err := os.Stat(p.program()); err != nil {
		return facts, fmt.Errorf("%w: no Postfix here: %w", agents.ErrInstalled, err)
	}
	if _, err := os.Stat(filepath.Join(string(p.ConfigDir), "main.cf")); err != nil {
		return facts, fmt.Errorf("%w: no configuration here: %w", agents.ErrInstalled, err)
	}
	// Both at once: clients wait for them during a move.
	type output struct {
		text string
		err  error
	}
	services := make(chan output, 1)
	go func() {
		text, err := p.postconf(ctx, "-M")
		services <- output{text, err}
	}()
	main, err := p.postconf(ctx, "-h", "queue_directory", "daemon_directory", "inet_interfaces")
	master := <-services
	if err := errors.Join(err, master.err); err != nil {
		return facts, err
	}
	lines := strings.Split(strings.TrimSuffix(main, "\n"), "\n")
	if len(lines) != 3 {
		return facts, fmt.Errorf("%w: postconf printed %d lines for 3 parameters of %s", agents.ErrNode, len(lines), p.ConfigDir)
	}
	facts.DataDir = lines[0]
	if lines[1] != daemons {
		facts.Process.Programs = append(facts.Process.Programs, lines[1])
	}
	facts.Listen = listenAddr(lines[2])
	if facts.Ports, err = inetPorts(master.text); err != nil {
		return facts, fmt.Errorf("%w: %s/master.cf: %w", agents.ErrNode, p.ConfigDir, err)
	}
	facts.Bound = boundTo(lines[2], master.text)
	// Every daemon works in its queue, by whatever name of the configuration
	// somebody has started it.
	if facts.Process.Dir, err = filepath.EvalSymlinks(facts.DataDir); err != nil {
		return facts, fmt.Errorf("%w: the queue is not here: %w; is its file system mounted? If it is, and the queue is a new one: install -d %s", agents.ErrInstalled, err, facts.DataDir)
	}
	return facts, nil
}

// Rehearse has one of Postfix's programs set itself up by main.cf, as all of its
// daemons do when they start: postconf(1) looks at no more than it is asked for.
func (p *Postfix) Rehearse(ctx context.Context, _ agents.Facts) error {
	_, err := p.tool(ctx, "postmap", "-q", "x", "static:x") // a table that has no file
	return err
}

// tool runs one of Postfix's commands for this instance.
func (p *Postfix) tool(ctx context.Context, name string, args ...string) (string, error) {
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	path := filepath.Join(filepath.Dir(p.program()), name)
	return run(exec.CommandContext(ctx, path, append([]string{"-c", string(p.ConfigDir)}, args...)...))
}

func (p *Postfix) postconf(ctx context.Context, args ...string) (string, error) {
	text, err := p.tool(ctx, "postconf", args...)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%w: no Postfix here: %w", agents.ErrInstalled, err)
	case err != nil:
		return "", fmt.Errorf("%w: %w", agents.ErrNode, err)
	}
	return text, nil
}

// inetPorts lists the TCP ports of the services of type inet that postconf -M
// prints. A service is a port, or a host and a port: master(5).
func inetPorts(master string) ([]uint16, error) {
	var ports []uint16
	for line := range strings.Lines(master) {
		f := strings.Fields(line)
		if len(f) < 2 || f[1] != "inet" {
			continue
		}
		name := f[0][strings.LastIndexByte(f[0], ':')+1:]
		n, err := net.LookupPort("tcp", name)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("service %q: no such TCP port", f[0])
		}
		ports = append(ports, uint16(n))
	}
	return ports, nil
}

// listenAddr is an address on which the instance itself listens: postconf(5)
// inet_interfaces.
func listenAddr(interfaces string) netip.Addr {
	for _, field := range strings.FieldsFunc(interfaces, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
		if addr, err := netip.ParseAddr(strings.Trim(field, "[]")); err == nil {
			return addr
		}
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// boundTo lists the addresses that the instance listens on, and none if these are
// all of the node, or cannot be told without asking for names: postconf(5)
// inet_interfaces, and the hosts of services in master(5).
func boundTo(interfaces, master string) []netip.Addr {
	names := strings.FieldsFunc(interfaces, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	for line := range strings.Lines(master) {
		f := strings.Fields(line)
		if len(f) < 2 || f[1] != "inet" {
			continue
		}
		if i := strings.LastIndexByte(f[0], ':'); i >= 0 {
			names = append(names, f[0][:i])
		}
	}
	var addrs []netip.Addr
	for _, name := range names {
		if name == "localhost" || name == "loopback-only" {
			addrs = append(addrs, netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback())
			continue
		}
		addr, err := netip.ParseAddr(strings.Trim(name, "[]"))
		if err != nil {
			return nil
		}
		addrs = append(addrs, addr)
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

// Sinkhole is the address that bounces of bounces go to: postconf(5)
// double_bounce_sender.
func (*Postfix) Sinkhole(hostname string) string { return "double-bounce@" + hostname }
