// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"encoding/json"
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
	DataDir string        `json:"data_dir,omitempty"` // where the work in hand is kept, such as a mail queue
	Process process.Match `json:"process"`            // which processes belong to the instance
}

// record is what a start leaves behind for the calls that follow it, each of
// which is a process of its own.
type record struct {
	Facts     Facts          `json:"facts"`
	Addresses []netip.Prefix `json:"addresses,omitempty"`
	Interface string         `json:"interface,omitempty"`
	Started   time.Time      `json:"started"`
	Announced time.Time      `json:"announced"`
}

// records keeps the record of one instance in a directory that a boot empties,
// so that a record always speaks of this boot.
type records struct{ dir, instance string }

// path makes a file name out of any instance name; OCF allows ":" for clones.
func (r records) path() string {
	var b strings.Builder
	for _, c := range []byte(r.instance) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return filepath.Join(r.dir, b.String()+".json")
}

// load returns false when there is no record: nothing was started here.
func (r records) load() (rec record, found bool, err error) {
	data, err := os.ReadFile(r.path())
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, false, nil
	}
	if err != nil {
		return record{}, false, fmt.Errorf("read state of %s: %w", r.instance, err)
	}
	if err := json.Unmarshal(data, &rec); err != nil {
		return record{}, false, fmt.Errorf("read state of %s from %s: %w", r.instance, r.path(), err)
	}
	return rec, true, nil
}

// save replaces the record in one step. It needs no fsync: after a crash of
// the machine the record must be gone anyhow.
func (r records) save(rec record) error {
	data, err := json.MarshalIndent(rec, "", "\t")
	if err != nil {
		return fmt.Errorf("save state of %s: %w", r.instance, err)
	}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return fmt.Errorf("save state of %s: %w", r.instance, err)
	}
	tmp := r.path() + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return fmt.Errorf("save state of %s: %w", r.instance, err)
	}
	if err := os.Rename(tmp, r.path()); err != nil {
		return fmt.Errorf("save state of %s: %w", r.instance, err)
	}
	return nil
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
