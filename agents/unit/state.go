// SPDX-License-Identifier: Apache-2.0

package unit

import (
	"fmt"
	"strings"
)

// Answer is one of three: yes, no, and "can't be told". The zero value is Unknown.
type Answer int8

// The answers. Code that needs a proof asks for Yes and treats the others alike.
const (
	Unknown Answer = iota
	No
	Yes
)

// String returns "unknown", "no" or "yes".
func (a Answer) String() string {
	switch a {
	case No:
		return "no"
	case Yes:
		return "yes"
	}
	return "unknown"
}

// State is what systemd said about one unit. Load, Active, Sub and Job are of one
// moment; the rest was read right after it.
// See org.freedesktop.systemd1(5) for the properties behind the fields.
type State struct {
	Name   string // primary name of the unit; an alias that was asked for is resolved
	Load   string // loaded, not-found, masked, bad-setting, error, merged; "" is unknown
	Active string // active, reloading, refreshing, inactive, failed, activating, deactivating, ...; "" is unknown
	Sub    string // state of the unit's own kind, such as running, exited, auto-restart, stop-sigterm
	Job    string // kind of the job that waits or runs: start, stop, restart, reload ...; "" for none

	Result     string // how the unit fared: success, exit-code, signal, timeout ...; "" for kinds without one
	MainPID    int    // main process in systemd's PID namespace; 0 for none
	MainCode   string // how the last main process ended: exited, killed, dumped; "" if none did
	MainStatus int    // its exit status, or the number of the signal that ended it

	ControlGroup     string // path below the root of the cgroup tree; "" for none
	InvocationID     string // another one after each start, 32 hex digits; "" if systemd remembers none
	NeedDaemonReload bool   // the unit file is newer than what systemd has loaded
}

// Running says whether the unit is up. While it reloads it is up, too.
// Active decides and not Load: a unit that was masked, or whose file was removed,
// runs on until it is stopped.
func (s State) Running() Answer {
	switch s.Active {
	case "active", "reloading", "refreshing":
		return Yes
	case "inactive", "failed":
		return No
	}
	return Unknown
}

// Stopped says whether the unit is down: inactive or failed, which includes one
// that systemd knows nothing about. A unit on its way up or down, or one that
// systemd is about to restart, is Unknown.
// It speaks of the unit; [Manager.Processes] tells whether anything was left behind.
func (s State) Stopped() Answer {
	switch s.Running() {
	case Yes:
		return No
	case No:
		return Yes
	}
	return Unknown
}

// String describes the state in systemd's words, such as
// "failed (failed), result exit-code, main process exited with 1".
func (s State) String() string {
	if s.Active == "" {
		return "unknown"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)", s.Active, s.Sub)
	if s.Load != "loaded" {
		fmt.Fprintf(&b, ", %s", s.Load)
	}
	if s.Job != "" {
		fmt.Fprintf(&b, ", %s job queued", s.Job)
	}
	if s.Result != "" && s.Result != "success" {
		fmt.Fprintf(&b, ", result %s", s.Result)
	}
	switch s.MainCode {
	case "exited":
		fmt.Fprintf(&b, ", main process exited with %d", s.MainStatus)
	case "killed", "dumped":
		fmt.Fprintf(&b, ", main process killed by signal %d", s.MainStatus)
	}
	return b.String()
}
