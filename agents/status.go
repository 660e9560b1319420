// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Status is what a person wants to know of a resource on this node: what it is
// for, under which addresses, and what is being done with it.
type Status struct {
	Resource    string       `json:"resource"`
	Agent       string       `json:"agent"`
	Description string       `json:"description,omitempty"`
	Addresses   []netip.Addr `json:"addresses,omitempty"`
	Phase       Phase        `json:"phase"`
	Since       time.Time    `json:"since"`
	Detail      string       `json:"detail,omitempty"`  // how the phase ended, or why it failed
	Sessions    int          `json:"sessions"`          // client sessions left, while draining
	Work        int          `json:"work"`              // pieces of work left, while draining
	Deadline    time.Time    `json:"deadline,omitzero"` // when the rest is cut, while draining
}

// Phase is what an operation is doing, or what the last one has led to.
type Phase string

// The phases.
const (
	Starting Phase = "starting"
	Started  Phase = "started"
	Leading  Phase = "promoted"
	Draining Phase = "draining"
	Stopping Phase = "stopping"
	Stopped  Phase = "stopped"
	Failed   Phase = "failed"
)

// Boards is the directory of the status files below a state directory.
const Boards = "status"

// introduced has every log line say what the resource is for and where.
func introduced(env Env, rec record, description Text) *slog.Logger {
	log := env.Logger().With("resource", env.Instance)
	if addrs := rec.addrs(); len(addrs) > 0 {
		log = log.With("ip", joined(addrs))
	}
	if description != "" {
		log = log.With("description", string(description))
	}
	return log
}

// board is where one resource's status is shown.
type board struct{ env Env }

// show does not hinder what it shows: a failure is only logged.
func (b board) show(rec record, description Text, st Status, log *slog.Logger) {
	st.Resource, st.Agent, st.Description = b.env.Instance, b.env.Kind, string(description)
	st.Addresses, st.Since = rec.addrs(), time.Now()
	path := filepath.Join(b.env.StateDir, Boards, fileName(b.env.Instance)+".json")
	data, err := json.MarshalIndent(st, "", "\t")
	if err == nil {
		err = replaceFile(path, append(data, '\n'))
	}
	if err != nil {
		log.Warn("cannot show the status", "error", err)
	}
}

// Statuses reads what is shown of all resources on this node, in the order of
// their names. What can be read is returned even with an error.
func Statuses(stateDir string) ([]Status, error) {
	paths, err := filepath.Glob(filepath.Join(stateDir, Boards, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("read status: %w", err)
	}
	var all []Status
	var errs []error
	for _, path := range paths {
		var st Status
		data, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(data, &st)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("read status from %s: %w", path, err))
			continue
		}
		all = append(all, st)
	}
	return all, errors.Join(errs...)
}

// fileName makes a file name out of any instance name; OCF allows ":" for clones.
func fileName(instance string) string {
	var b strings.Builder
	for _, c := range []byte(instance) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}
