// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// Each record has Rev, etcd's revision of its last change: 0 is a record that is
// not there yet. Who changes a record hands back the one that was read, and is
// refused with ErrConflict if it has changed since. Times are of the writer's
// wall clock, for people to read; nothing about safety depends on them.

// Config is the configuration file that the cluster runs.
type Config struct {
	TOML  string    `json:"toml"`
	By    string    `json:"by"` // who put it there
	Since time.Time `json:"since"`
	Rev   int64     `json:"-"`
}

// Node is a node that is present: its daemon runs and renews its lease.
type Node struct {
	Name    string `json:"-"`
	Boot    string `json:"boot"`    // /proc/sys/kernel/random/boot_id
	Version string `json:"version"` // of mailha
	API     string `json:"api"`     // where its API listens; empty if only on its own socket
	// Key is the public half of what its heartbeats are signed with, for as long as its
	// daemon runs (Ed25519, RFC 8032); empty: it sends none.
	Key     []byte    `json:"key,omitempty"`
	Since   time.Time `json:"since"`
	Session SessionID `json:"-"` // the lease that the record is bound to
	Rev     int64     `json:"-"`
}

// SessionID names one stay of a node in the cluster: etcd's ID of its lease.
type SessionID int64

// String is the ID as etcdctl(1) prints it.
func (id SessionID) String() string { return strconv.FormatInt(int64(id), 16) }

// Phase is how far a group is with its owner.
type Phase string

// The phases of a group.
const (
	Free     Phase = "free"     // nobody's: proved stopped by its last owner, or never started
	Starting Phase = "starting" // taken, and not all of it runs
	Running  Phase = "running"
	Stopping Phase = "stopping"
	Failed   Phase = "failed" // the owner could neither run it nor prove it stopped
)

// Group is who owns a group. Its record is bound to no lease and never removed:
// the epoch has to grow for as long as the cluster lives.
type Group struct {
	Name    string    `json:"-"`
	Owner   string    `json:"owner"`   // a node; empty if and only if Phase is Free
	Session SessionID `json:"session"` // the owner's when it took the group; an older one than the node has now is a former life
	Epoch   uint64    `json:"epoch"`   // grows with each Take, from 1
	Phase   Phase     `json:"phase"`
	Since   time.Time `json:"since"`  // of Phase
	Former  string    `json:"former"` // the owner before; empty if there was none
	// Handed: its former owner has proved that nothing of it is left there, and has given
	// it to the owner, who has not written anything yet.
	Handed bool   `json:"handed,omitempty"`
	Why    string `json:"why"` // a sentence on the last change
	// Failures and Moves are what placement counts, the latest last, at most
	// MaxHistory of each.
	Failures []Failure   `json:"failures,omitempty"`
	Moves    []time.Time `json:"moves,omitempty"`
	Rev      int64       `json:"-"`
}

// Failure is a resource that failed on a node.
type Failure struct {
	Node     string    `json:"node"`
	Resource string    `json:"resource"`
	At       time.Time `json:"at"`
	// Fatal: another try on that node is no use.
	Fatal bool `json:"fatal,omitempty"`
}

// MaxHistory is how many failures and moves a group remembers.
const MaxHistory = 32

func (g Group) check() error {
	switch g.Phase {
	case Free:
		if g.Owner != "" {
			return fmt.Errorf("it is free and owned by %s", g.Owner)
		}
		return nil
	case Starting, Running, Stopping, Failed:
		if g.Owner == "" || g.Epoch == 0 {
			return fmt.Errorf("it is %s without an owner or an epoch", g.Phase)
		}
		return nil
	}
	return fmt.Errorf("it has the unknown phase %q", g.Phase)
}

// Kind is what a wish is about.
type Kind string

// The kinds of wishes, and which fields say what they are about.
const (
	Move        Kind = "move"        // Group to Node
	Standby     Kind = "standby"     // Node runs nothing
	Maintenance Kind = "maintenance" // nothing of the cluster is touched
	Ban         Kind = "ban"         // Group is kept off Node
	Stop        Kind = "stop"        // Resource is kept stopped
	Restart     Kind = "restart"     // Resource, once: its owner does it and takes the wish back
	StopGroup   Kind = "stop-group"  // Group is to run nowhere
	Fenced      Kind = "fenced"      // Node is off, as an operator has seen to; see Snapshot.Fenced
	Fence       Kind = "fence"       // Node is to be switched off; whoever does it takes the wish back
	// Hear: Node is to write down what it still has before anything is taken. A restore
	// asks for it; the node's own daemon takes it back, or an operator who has the node off.
	Hear Kind = "hear"
)

// Wish is what an operator asked for.
type Wish struct {
	Kind     Kind      `json:"kind"`
	Group    string    `json:"group,omitempty"`
	Node     string    `json:"node,omitempty"`
	Resource string    `json:"resource,omitempty"`
	By       string    `json:"by"`  // who asked
	Why      string    `json:"why"` // may be empty
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until,omitzero"` // zero: until it is taken back
	// Life and AsOf say of Fenced, if a device has done it, which stay of the node it was
	// about and as of which revision.
	Life SessionID `json:"life,omitempty"`
	AsOf int64     `json:"as_of,omitempty"`
	Rev  int64     `json:"-"`
}

// Over says whether the wish has ended by itself. It stays in the store until
// somebody takes it back.
func (w Wish) Over(now time.Time) bool { return !w.Until.IsZero() && !now.Before(w.Until) }

// subject is the wish's key below its kind: one wish for each subject.
func (w Wish) subject() (string, error) {
	want := map[Kind][3]bool{ // group, node, resource
		Move: {true, true, false}, Standby: {false, true, false}, Maintenance: {},
		Ban: {true, true, false}, Stop: {false, false, true},
		Restart: {false, false, true}, StopGroup: {true, false, false}, Fenced: {false, true, false},
		Hear: {false, true, false}, Fence: {false, true, false},
	}
	fields, known := want[w.Kind]
	if !known {
		return "", fmt.Errorf("unknown kind of wish %q", w.Kind)
	}
	for i, name := range [3]string{w.Group, w.Node, w.Resource} {
		if fields[i] != (name != "") {
			return "", fmt.Errorf("a wish of the kind %s is about group=%t node=%t resource=%t", w.Kind, fields[0], fields[1], fields[2])
		}
		if name != "" {
			if err := checkName(name); err != nil {
				return "", err
			}
		}
	}
	switch w.Kind {
	case Move, StopGroup:
		return w.Group, nil // one for each group, wherever it goes
	case Standby, Fenced, Fence, Hear:
		return w.Node, nil
	case Ban:
		return w.Group + "/" + w.Node, nil
	case Stop, Restart:
		return w.Resource, nil
	}
	return "cluster", nil
}

// Event is something that happened.
type Event struct {
	At   time.Time `json:"at"`
	Node string    `json:"node,omitempty"` // that tells it
	By   string    `json:"by,omitempty"`   // who asked; empty if it came by itself
	// What is about this group or resource, if about one.
	Group    string `json:"group,omitempty"`
	Resource string `json:"resource,omitempty"`
	What     string `json:"what"` // a sentence
	Rev      int64  `json:"-"`
}

func checkName(name string) error {
	if !regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$`).MatchString(name) {
		return fmt.Errorf("the name %q is not of 1 to 63 letters, digits, dots, hyphens and underscores, or begins with a dot or hyphen", name)
	}
	return nil
}
