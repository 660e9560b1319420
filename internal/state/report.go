// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"fmt"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// maxReport is the size in bytes of a report: a thousand resources, or as many addresses.
const maxReport = 1 << 20

// Report is what a node says of the resources that it runs, for people and for
// the nodes that they ask. Nothing about safety depends on it. It goes with the
// node's presence.
type Report struct {
	Node      string           `json:"-"`
	At        time.Time        `json:"at"`
	Resources []ResourceReport `json:"resources"`
	Session   SessionID        `json:"-"` // the node's, as of its record
	Rev       int64            `json:"-"`
}

// Resource finds what the node says of a resource.
func (r Report) Resource(name string) (ResourceReport, bool) {
	i := slices.IndexFunc(r.Resources, func(r ResourceReport) bool { return r.Name == name })
	if i < 0 {
		return ResourceReport{}, false
	}
	return r.Resources[i], true
}

// ResourceReport is what a node says of one resource.
type ResourceReport struct {
	Name      string        `json:"name"`
	Group     string        `json:"group"`
	Kind      string        `json:"kind"`
	Phase     ResourcePhase `json:"phase"`
	Since     time.Time     `json:"since"`               // of Phase
	Detail    string        `json:"detail,omitempty"`    // what is wrong, or what is being waited for
	Addresses []string      `json:"addresses,omitempty"` // that it holds
	// What a drain still waits for: client sessions and pieces of work; and how
	// long until the rest is cut, in nanoseconds on the wire, counted from the
	// report's At.
	Sessions int           `json:"sessions,omitempty"`
	Work     int           `json:"work,omitempty"`
	Left     time.Duration `json:"left,omitempty"`
	Failures int           `json:"failures,omitempty"` // on this node, as far as they count
}

// ResourcePhase is how far a resource is on a node.
type ResourcePhase string

// The phases of a resource.
const (
	ResourceStarting ResourcePhase = "starting"
	ResourceStarted  ResourcePhase = "started"
	ResourceDegraded ResourcePhase = "degraded" // it serves, but not as it should
	ResourceDraining ResourcePhase = "draining"
	ResourceStopping ResourcePhase = "stopping"
	ResourceStopped  ResourcePhase = "stopped"
	ResourceFailed   ResourcePhase = "failed"
)

func (r Report) check() error {
	seen := map[string]bool{}
	for _, one := range r.Resources {
		if err := checkName(one.Name); err != nil {
			return err
		}
		switch one.Phase {
		case ResourceStarting, ResourceStarted, ResourceDegraded, ResourceDraining, ResourceStopping, ResourceStopped, ResourceFailed:
		default:
			return fmt.Errorf("resource %s has the unknown phase %q", one.Name, one.Phase)
		}
		switch {
		case seen[one.Name]:
			return fmt.Errorf("it has %s twice", one.Name)
		case one.Sessions < 0 || one.Work < 0 || one.Left < 0 || one.Failures < 0:
			return fmt.Errorf("resource %s has a count below zero", one.Name)
		}
		seen[one.Name] = true
	}
	return nil
}

// Report tells the others about this node's resources, in the place of what it
// told before. No event is noted. At is set if it is zero. It may return ErrLost.
func (n *Session) Report(ctx context.Context, r Report) error {
	fail := func(err error) error { return fmt.Errorf("report on %s: %w", n.node.Name, err) }
	if err := r.check(); err != nil {
		return fail(err)
	}
	if !n.Valid() {
		return fail(n.lossOr(ErrLost))
	}
	if r.At.IsZero() {
		r.At = now()
	}
	value, err := encode(r, maxReport)
	if err != nil {
		return fail(err)
	}
	ctx, cancel := n.bound(ctx)
	defer cancel()
	resp, err := n.store.client.Txn(ctx).If(n.present()).
		Then(clientv3.OpPut(n.store.keys.report(n.node.Name), value, clientv3.WithLease(n.id))).Commit()
	if err != nil {
		return fail(n.lossOr(fmt.Errorf("write to etcd: %w", err)))
	}
	if !resp.Succeeded {
		err := fmt.Errorf("%w: its presence was removed or replaced", ErrLost)
		n.lose(err)
		return fail(err)
	}
	return nil
}
