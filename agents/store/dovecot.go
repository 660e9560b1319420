// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	sdunit "github.com/coreos/go-systemd/v22/unit"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/process"
	"github.com/mailha/mailha/agents/unit"
)

// Dovecot is the backend for one instance of Dovecot 2.3: dovecot(1). It does not
// care whether the instance has mailboxes of its own, or passes its clients on.
type Dovecot struct {
	configDir agents.Path
	binary    agents.Path
	unit      agents.UnitName
	dismissed map[process.Life]bool // see part
}

// NewDovecot returns the backend with its defaults.
func NewDovecot() *Dovecot { return &Dovecot{configDir: "/etc/dovecot", binary: "/usr/sbin/dovecot"} }

// Params are the backend's own parameters.
func (d *Dovecot) Params() agents.Table {
	return agents.Table{
		{Name: "config_dir", Value: &d.configDir, Unique: "config_dir",
			Short: "Configuration directory of the Dovecot instance",
			Long:  "The directory of its dovecot.conf. Instances on one node must also differ in base_dir, state_dir and instance_name."},
		{Name: "binary", Value: &d.binary,
			Short: "The dovecot program",
			Long:  "doveconf and doveadm are looked for in its directory, and in bin beside it."},
		{Name: "unit", Value: &d.unit, Unique: "unit",
			Short: "Systemd unit that runs the instance",
			Long:  "Empty means the instance of mailha-dovecot@.service for config_dir. It must not be enabled: the cluster starts it. A unit of another kind should have AssertPathExists=/run/mailha/permits/%n, as that one has."},
	}
}

// programs is where Dovecot's own programs are if nothing says otherwise.
const programs = "/usr/lib/dovecot"

func (d *Dovecot) config() string { return filepath.Join(string(d.configDir), "dovecot.conf") }

// Inspect reads the configuration by way of doveconf(1).
func (d *Dovecot) Inspect(ctx context.Context) (agents.Facts, error) {
	facts := agents.Facts{Unit: string(d.unit)}
	if facts.Unit == "" {
		facts.Unit = "mailha-dovecot@" + sdunit.UnitNamePathEscape(string(d.configDir)) + ".service"
	}
	// The master process has the path on its command line, and all others have it
	// for a parent: that much is known without a configuration.
	facts.Process = process.Match{
		ControlGroup: unit.ControlGroup(facts.Unit),
		Programs:     []string{resolved(string(d.binary)), programs},
		Argument:     d.config(),
	}
	if _, err := os.Stat(string(d.binary)); err != nil {
		return facts, fmt.Errorf("%w: no Dovecot here: %w", agents.ErrInstalled, err)
	}
	if _, err := os.Stat(d.config()); err != nil {
		return facts, fmt.Errorf("%w: no configuration here: %w", agents.ErrInstalled, err)
	}
	s, err := d.doveconf(ctx, "base_dir", "instance_name", "libexec_dir", "listen", "protocols", "ssl", "service")
	if err != nil {
		return facts, err
	}
	facts.RunDir = s["base_dir"]
	facts.Process.Dir = resolved(facts.RunDir)
	facts.Process.Title = s["instance_name"] + "/"
	if dir := resolved(s["libexec_dir"]); dir != programs && dir != "" {
		facts.Process.Programs = append(facts.Process.Programs, dir)
	}
	if facts.Doors, err = s.doors(); err != nil {
		return facts, fmt.Errorf("%w: %s: %w", agents.ErrNode, d.config(), err)
	}
	if len(facts.Doors) == 0 {
		return facts, fmt.Errorf("%w: %s: nothing listens for the protocols %q", agents.ErrNode, d.config(), s["protocols"])
	}
	facts.Ports, facts.Bound = reachedBy(facts.Doors)
	if len(facts.Bound) > 0 {
		facts.Listen = facts.Bound[0]
	}
	return facts, nil
}

// reachedBy are the ports of the doors, and the only addresses that they are on;
// none: all.
func reachedBy(doors []agents.Door) (ports []uint16, addrs []netip.Addr) {
	all := false
	for _, d := range doors {
		if d.Port == 0 {
			continue
		}
		if !slices.Contains(ports, d.Port) {
			ports = append(ports, d.Port)
		}
		all = all || len(d.Addrs) == 0
		for _, a := range d.Addrs {
			if !slices.Contains(addrs, a) {
				addrs = append(addrs, a)
			}
		}
	}
	if all {
		return ports, nil
	}
	return ports, addrs
}

// resolved is a path without symbolic links, as far as it exists.
func resolved(path string) string {
	if path == "" || path == "/" {
		return path
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return filepath.Join(resolved(filepath.Dir(path)), filepath.Base(path))
}
