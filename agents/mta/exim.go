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
	"github.com/mailha/mailha/agents/process"
)

// Exim is the backend for one instance of Exim: exim(8), and the numbers of
// sections below are those of its specification, for version 4.96.
type Exim struct {
	*Instance
	Config agents.Path

	dismissed map[process.Life]bool // who was asked to part from its client
}

// NewExim returns the backend with its defaults.
func NewExim(i *Instance) *Exim { return &Exim{Instance: i, Config: "/etc/exim4/exim4.conf"} }

// Params is what tells its instances apart, beside what all backends have.
func (e *Exim) Params() agents.Table {
	return agents.Table{
		{Name: "config", Value: &e.Config, Unique: "config",
			Short: "Configuration file of the Exim instance",
			Long:  "Instances on one node must differ in spool_directory, and Exim must trust the file (on Debian: /etc/exim4/trusted_configs), or deliveries lose their rights."},
	}
}

// program is the exim command.
func (e *Exim) program() string { return cmp.Or(string(e.Binary), "/usr/sbin/exim4") }

// Inspect has Exim print its options (section 5.2, -bP).
func (e *Exim) Inspect(ctx context.Context) (agents.Facts, error) {
	facts := e.facts("mailha-exim@", e.Config)
	program, err := filepath.EvalSymlinks(e.program())
	if err != nil {
		return facts, fmt.Errorf("%w: no Exim here: %w", agents.ErrInstalled, err)
	}
	facts.Process.Programs = []string{program}
	if _, err := os.Stat(string(e.Config)); err != nil {
		return facts, fmt.Errorf("%w: no configuration here: %w", agents.ErrInstalled, err)
	}
	text, err := e.tool(ctx, "-bP", "spool_directory", "local_interfaces", "daemon_smtp_ports", "tls_on_connect_ports")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return facts, fmt.Errorf("%w: no Exim here: %w", agents.ErrInstalled, err)
	case err != nil:
		return facts, fmt.Errorf("%w: %w", agents.ErrNode, err)
	}
	options := eximOptions(text)
	facts.DataDir = options["spool_directory"]
	if err := eximListen(&facts, options); err != nil {
		return facts, fmt.Errorf("%w: %s: %w", agents.ErrNode, e.Config, err)
	}
	// Every process works in the spool, by whatever name of the configuration
	// somebody has started it.
	if facts.Process.Dir, err = filepath.EvalSymlinks(facts.DataDir); err != nil {
		return facts, fmt.Errorf("%w: the spool is not here: %w; is its file system mounted?", agents.ErrInstalled, err)
	}
	return facts, nil
}

// Rehearse has Exim read all of its configuration.
func (e *Exim) Rehearse(ctx context.Context, _ agents.Facts) error {
	_, err := e.tool(ctx, "-bV")
	return err
}

// tool runs the exim command for this instance.
func (e *Exim) tool(ctx context.Context, args ...string) (string, error) {
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return run(exec.CommandContext(ctx, e.program(), append([]string{"-C", string(e.Config)}, args...)...))
}

// eximOptions reads lines "name = value".
func eximOptions(text string) map[string]string {
	options := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " =")
		options[name] = strings.TrimSpace(value)
	}
	return options
}

// eximList splits a list: colons part it, or what follows a "<" at its beginning,
// and stand for themselves when doubled (section 6.21).
func eximList(s string) []string {
	s = strings.TrimSpace(s)
	sep := ":"
	if len(s) > 1 && s[0] == '<' {
		sep, s = s[1:2], s[2:]
	}
	const literal = "\x00"
	s = strings.ReplaceAll(s, sep+sep, literal)
	var items []string
	for item := range strings.SplitSeq(s, sep) {
		if item = strings.TrimSpace(strings.ReplaceAll(item, literal, sep)); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// eximListen reads where the daemon listens (chapter 13). What speaks TLS from
// the first byte comes last among the ports, since a check does not.
func eximListen(facts *agents.Facts, options map[string]string) error {
	port := func(name string) error {
		n, err := net.LookupPort("tcp", name)
		if err != nil || n == 0 {
			return fmt.Errorf("%q is no TCP port", name)
		}
		if !slices.Contains(facts.Ports, uint16(n)) {
			facts.Ports = append(facts.Ports, uint16(n))
		}
		return nil
	}
	tls := eximList(options["tls_on_connect_ports"])
	ports := eximList(options["daemon_smtp_ports"])
	slices.SortStableFunc(ports, func(a, b string) int {
		return cmp.Compare(slices.Index(tls, a), slices.Index(tls, b))
	})
	for _, name := range ports {
		if err := port(name); err != nil {
			return fmt.Errorf("daemon_smtp_ports: %w", err)
		}
	}
	everywhere := false
	for _, item := range eximList(options["local_interfaces"]) {
		addr, name, err := eximInterface(item)
		if err == nil && name != "" {
			err = port(name)
		}
		if err != nil {
			return fmt.Errorf("local_interfaces: %w", err)
		}
		if addr.IsUnspecified() {
			everywhere = true
			continue
		}
		facts.Bound = append(facts.Bound, addr)
	}
	facts.Listen = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if everywhere {
		facts.Bound = nil
	} else if len(facts.Bound) > 0 {
		facts.Listen = facts.Bound[0]
	}
	return nil
}

// eximInterface reads an address, which may have a port: "192.0.2.1", "::1",
// "192.0.2.1.25", "[2001:db8::1]:25", "2001:db8::1.25".
func eximInterface(item string) (netip.Addr, string, error) {
	if addr, err := netip.ParseAddr(strings.Trim(item, "[]")); err == nil {
		return addr, "", nil
	}
	host, port, ok := strings.Cut(strings.TrimPrefix(item, "["), "]:")
	if !ok {
		i := max(strings.LastIndexByte(item, '.'), 0)
		host, port = item[:i], strings.TrimPrefix(item[i:], ".")
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || port == "" {
		return netip.Addr{}, "", fmt.Errorf("%q is no address", item)
	}
	return addr, port, nil
}

// MarkPath is empty: everything in the spool belongs to the user that Exim runs
// as, who could lead us anywhere.
func (*Exim) MarkPath(agents.Facts) string { return "" }

// Identity is not asked for without a mark.
func (*Exim) Identity(agents.Facts) (string, error) { return "", nil }

// Recover has nothing to do. A journal that a delivery left (input/ID-J) says
// what it has delivered, and the next one of the same message begins with it; a
// lock ends with the process that had it.
func (*Exim) Recover(context.Context, agents.Facts, bool) (string, error) { return "", nil }
