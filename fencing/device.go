// SPDX-License-Identifier: Apache-2.0

package fencing

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Action is what becomes of a node after it is off.
type Action string

const (
	// Reboot switches it on again, which may fail: the fencing has succeeded then all
	// the same.
	Reboot Action = "reboot"
	// Off leaves it off until somebody switches it on.
	Off Action = "off"
)

// Method is how a node is ended that is to run again.
type Method string

const (
	// OnOff switches it off, has the status prove that, and switches it on.
	OnOff Method = "onoff"
	// Cycle has the agent reboot it, and takes the agent's success for the proof. It is for
	// agents that have a node end itself, as fence_mailha does: they know when its life
	// was over, cannot switch it on, and by the time they are asked it may run again.
	Cycle Method = "cycle"
)

// Device is a fence device: an agent, what it has to be told, and which of its outlets
// each node hangs on.
type Device struct {
	Name string
	// Agent is the name of a program in /usr/sbin that begins with fence_, or an
	// absolute path.
	Agent string
	// Ports has the outlet (plug) of each node that it can switch off: a number, the
	// name of a virtual machine, or just the node's name where the device has no other.
	Ports map[string]string
	// Level is when its turn is, from 1: all devices of a node's level have to succeed,
	// or else those of the next are asked.
	Level  int
	Action Action
	// Method is not looked at where Action is Off.
	Method Method
	// Delay and up to DelayRandom more are waited before each attempt, 0 or more.
	Delay, DelayRandom time.Duration
	// Timeout bounds one attempt: off, and the status that proves it. It also bounds
	// switching on, and each question of a check.
	Timeout time.Duration
	// Attempts are how often it is told to switch off before it counts as failed, at
	// least 1.
	Attempts int
	// Verify is the pause between two questions for the status.
	Verify time.Duration
	// CheckInterval is the pause between two checks, about.
	CheckInterval time.Duration
	// LeavesOn says that a node which it has fenced may answer on the network, still or again:
	// fence_scsi cuts it off from its disks, fence_mailha has it stand still until its
	// watchdog resets it.
	LeavesOn bool
	// Parameters are the agent's.
	Parameters map[string]string
	// Secrets are parameters of which only the files are known: each is read when the
	// agent is called, has one line, and nobody but root may read it.
	Secrets map[string]string
}

// Defaults of a Device that says nothing else.
const (
	DefaultTimeout       = 60 * time.Second
	DefaultAttempts      = 2
	DefaultVerify        = 500 * time.Millisecond
	DefaultCheckInterval = time.Hour
)

// withDefaults fills in what is not set.
func (d Device) withDefaults() Device {
	d.Level = max(d.Level, 1)
	d.Attempts = max(d.Attempts, 0)
	if d.Action == "" {
		d.Action = Reboot
	}
	if d.Method == "" {
		d.Method = OnOff
	}
	if d.Attempts == 0 {
		d.Attempts = DefaultAttempts
	}
	for of, def := range map[*time.Duration]time.Duration{&d.Timeout: DefaultTimeout, &d.Verify: DefaultVerify, &d.CheckInterval: DefaultCheckInterval} {
		if *of <= 0 {
			*of = def
		}
	}
	return d
}

// cycles says whether the agent's own reboot ends a node.
func (d Device) cycles() bool { return d.Action == Reboot && d.Method == Cycle }

// ends is the action that does.
func (d Device) ends() string {
	if d.cycles() {
		return askReboot
	}
	return askOff
}

// given are parameters that are not for people to set: they say what an agent is to do,
// and to whom.
func given() []string { return []string{"action", "option", "plug", "port", "nodename"} }

var (
	paramName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)
	agentName = regexp.MustCompile(`^fence_[A-Za-z0-9_.-]+$`)
)

// check says what is wrong with a device by itself.
func (d Device) check() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("fence device %q: %w", d.Name, fmt.Errorf(format, args...)))
	}
	if d.Name == "" {
		bad("it has no name")
	}
	if !strings.HasPrefix(d.Agent, "/") && !agentName.MatchString(d.Agent) {
		bad("agent %q is neither an absolute path nor a name that begins with fence_", d.Agent)
	}
	if d.Action != Off && d.Action != Reboot {
		bad("there is no action %q", d.Action)
	}
	if d.Method != OnOff && d.Method != Cycle {
		bad("there is no method %q", d.Method)
	}
	if len(d.Ports) == 0 {
		bad("it is for no node")
	}
	for _, node := range slices.Sorted(maps.Keys(d.Ports)) {
		if d.Ports[node] == "" || node == "" || unfit(d.Ports[node]) || unfit(node) {
			bad("the outlet %q of node %q is empty or has a control character", d.Ports[node], node)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Parameters)) {
		_, twice := d.Secrets[name]
		switch {
		case !paramName.MatchString(name) || slices.Contains(given(), name):
			bad("%q cannot be a parameter", name)
		case unfit(d.Parameters[name]):
			bad("parameter %s has a control character", name)
		case twice:
			bad("parameter %s is a secret, too", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Secrets)) {
		if !paramName.MatchString(name) || slices.Contains(given(), name) {
			bad("%q cannot be a secret", name)
		}
	}
	return errors.Join(errs...)
}

// unfit says whether a value would not stay on one line.
func unfit(value string) bool {
	return strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f })
}
