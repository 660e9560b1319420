// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mailha/mailha/agents/process"
)

// Facts is what a service told about itself while its configuration could
// still be read. A stop works from them when it no longer can.
type Facts struct {
	Unit    string        `json:"unit"`               // systemd unit that runs the instance
	Ports   []uint16      `json:"ports,omitempty"`    // TCP ports that clients connect to
	Listen  netip.Addr    `json:"listen,omitzero"`    // where it listens apart from secondary addresses
	Bound   []netip.Addr  `json:"bound,omitempty"`    // the only addresses that it listens on; empty: all, or not known
	URLs    []string      `json:"urls,omitempty"`     // all that it listens on, where its protocol has URLs
	DataDir string        `json:"data_dir,omitempty"` // where the work in hand is kept, such as a mail queue
	Process process.Match `json:"process"`            // which processes belong to the instance
	Mount   Mount         `json:"mount,omitzero"`     // where the data are, if that can go away
	Doors   []Door        `json:"doors,omitempty"`    // where it listens, and what is spoken there
	RunDir  string        `json:"run_dir,omitempty"`  // where its sockets and its PID file are
	Peers   []netip.Addr  `json:"peers,omitempty"`    // hosts that a drain still lets in: what they fetch is what it waits for
}

// Door is a place where a service listens, with what is spoken there.
type Door struct {
	Protocol string       `json:"protocol"`         // such as imap
	Port     uint16       `json:"port,omitempty"`   // 0: it is a unix socket
	Path     string       `json:"path,omitempty"`   // of the unix socket
	Addrs    []netip.Addr `json:"addrs,omitempty"`  // it listens on these only; none: on all
	TLS      string       `json:"tls,omitempty"`    // starttls, tls, or empty for none
	Mute     bool         `json:"mute,omitempty"`   // it speaks to certain clients only
	Inward   bool         `json:"inward,omitempty"` // work comes in from this very host, too
}

// record is what a start leaves behind for the calls that follow it, each of
// which is a process of its own.
type record struct {
	Facts     Facts          // empty without a service
	Addresses []netip.Prefix // the resource's own
	Shared    []netip.Addr   // of other resources, on which clients reach it
	Promoted  bool           // a replica that is; only then it has addresses
	Started   time.Time
	Announced time.Time
}

// reach is where clients find the resource: all that is not known to have ports
// of its own is reached on its own addresses only. Without addresses, it is where
// it listens; empty: on all addresses of the node.
func (r record) reach() []netip.Addr {
	addrs := hosts(r.Addresses)
	if len(r.Facts.Ports) > 0 {
		addrs = append(addrs, r.Shared...)
		if len(addrs) == 0 {
			addrs = r.Facts.Bound
		}
	}
	return addrs
}

// unreachable says that nothing tells the connections of clients from others: a
// promoted replica without addresses is followed by others on the same ports.
func (r record) unreachable() bool {
	if r.Promoted {
		return len(r.Addresses) == 0 && (len(r.Shared) == 0 || len(r.Facts.Ports) == 0)
	}
	return len(r.reach()) == 0 && len(r.Facts.Ports) == 0
}

// addrs are all that the resource is known by.
func (r record) addrs() []netip.Addr { return append(hosts(r.Addresses), r.Shared...) }

func hosts(prefixes []netip.Prefix) []netip.Addr {
	addrs := make([]netip.Addr, 0, len(prefixes))
	for _, p := range prefixes {
		addrs = append(addrs, p.Addr())
	}
	return addrs
}

// joined is a list for people.
func joined(addrs []netip.Addr) string {
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
	}
	return strings.Join(texts, " ")
}

// records keeps the record of one instance in a directory that a boot empties,
// so that a record always speaks of this boot.
type records struct{ dir, instance string }

func (r records) path() string { return filepath.Join(r.dir, fileName(r.instance)+".note") }

// load returns false when there is no record: nothing was started here.
func (r records) load() (rec record, found bool, err error) {
	data, err := os.ReadFile(r.path())
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, false, nil
	}
	if err != nil {
		return record{}, false, fmt.Errorf("read state of %s: %w", r.instance, err)
	}
	if err := rec.UnmarshalText(data); err != nil {
		return record{}, false, fmt.Errorf("read state of %s from %s: %w", r.instance, r.path(), err)
	}
	return rec, true, nil
}

// save needs no fsync: after a crash of the machine the record must be gone anyhow.
func (r records) save(rec record) error {
	data, err := rec.MarshalText()
	if err == nil {
		err = replaceFile(r.path(), data)
	}
	if err != nil {
		return fmt.Errorf("save state of %s: %w", r.instance, err)
	}
	return nil
}

// replaceFile writes a file in one step, with its directory.
func replaceFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func (r records) remove() error {
	if err := os.Remove(r.path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove state of %s: %w", r.instance, err)
	}
	return nil
}

// forget removes the record. A stop does not fail because that fails: whatever a
// record says is looked at again before it is believed.
func (r records) forget(log *slog.Logger) {
	if err := r.remove(); err != nil {
		log.Warn("cannot remove what the start noted", "error", err)
	}
}

// UnitsOf lists the systemd units that a resource was started with on this node, those
// of its parts included.
func UnitsOf(stateDir, instance string) ([]string, error) {
	name := filepath.Join(stateDir, fileName(instance))
	parts, err := filepath.Glob(name + fileName(":") + "*.note")
	if err != nil {
		return nil, fmt.Errorf("look for the units of %s: %w", instance, err)
	}
	var units []string
	var errs []error
	for _, path := range append(parts, name+".note") {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var rec record
		if err == nil {
			err = rec.UnmarshalText(data)
		}
		if err != nil {
			errs = append(errs, err)
		} else if rec.Facts.Unit != "" {
			units = append(units, rec.Facts.Unit)
		}
	}
	return units, errors.Join(errs...)
}
