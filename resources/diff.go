// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Change is one effect of a new file on a cluster that runs by an old one.
type Change struct {
	Effect Effect
	// Node, Group and Resource are empty where it is not about one.
	Node, Group, Resource string
	// Keys are what has changed, as the file has them; none: all of it.
	Keys []string
	Text string // one sentence for people
}

// Effect is what a reload does about a change.
type Effect string

const (
	EffectStart   Effect = "start"   // a resource or group is new
	EffectStop    Effect = "stop"    // a resource or group is gone
	EffectRestart Effect = "restart" // a resource needs one
	EffectMove    Effect = "move"    // a group may have to go elsewhere
	EffectAdjust  Effect = "adjust"  // takes effect without a restart of a resource
	EffectLater   Effect = "later"   // takes effect when mailhad is started the next time
	EffectRefuse  Effect = "refuse"  // cannot be changed by a reload: all of the new file is refused
)

// Diff says what a reload from one file to another does: what is about the
// cluster first, then nodes and fence devices, then groups with their resources, what is gone
// last. Equal files have no changes, whatever their layout.
func Diff(before, after *Cluster, kinds Kinds) []Change {
	d := &differ{before: before, after: after, kinds: kinds}
	d.cluster()
	d.nodes()
	d.fences()
	for _, g := range after.Groups {
		d.group(g)
	}
	for _, g := range before.Groups {
		d.gone(g)
	}
	return d.changes
}

type differ struct {
	before, after *Cluster
	kinds         Kinds
	changes       []Change
}

func (d *differ) say(c Change, format string, args ...any) {
	c.Text = fmt.Sprintf(format, args...)
	d.changes = append(d.changes, c)
}

// field is a key of the file with what it was and is.
type field struct {
	key           string
	before, after any
}

// changed lists the keys whose values differ.
func changed(fields ...field) []string {
	var keys []string
	for _, f := range fields {
		if !reflect.DeepEqual(f.before, f.after) {
			keys = append(keys, f.key)
		}
	}
	return keys
}

func (d *differ) cluster() {
	b, a := d.before, d.after
	if b.Name != a.Name {
		d.say(Change{Effect: EffectRefuse, Keys: []string{"name"}}, "the cluster's name cannot change from %q to %q: all that the cluster knows is kept under it", b.Name, a.Name)
	}
	be, ae := b.Etcd, a.Etcd
	if keys := changed(field{"data_dir", be.DataDir, ae.DataDir}, field{"port", be.Port, ae.Port}, field{"peer_port", be.PeerPort, ae.PeerPort},
		field{"endpoints", be.Endpoints, ae.Endpoints}); keys != nil {
		d.say(Change{Effect: EffectRefuse, Keys: keys}, "%s of [etcd] cannot change while mailhad runs: stop it on every node, change the file on all of them, start it again", list(keys))
	}
	bh, ah := b.Heartbeat, a.Heartbeat
	if keys := changed(field{"port", bh.Port, ah.Port}); keys != nil {
		d.say(Change{Effect: EffectRefuse, Keys: keys}, "%s of [heartbeat] cannot change while mailhad runs: stop it on every node, change the file on all of them, start it again", list(keys))
	}
	if keys := changed(field{"heartbeat", be.Heartbeat, ae.Heartbeat}, field{"election", be.Election, ae.Election}, field{"lease", b.Lease, a.Lease}, field{"margin", b.Margin, a.Margin}, field{"tls_dir", b.TLSDir, a.TLSDir},
		field{"ca_file", be.CAFile, ae.CAFile}, field{"cert_file", be.CertFile, ae.CertFile}, field{"key_file", be.KeyFile, ae.KeyFile}); keys != nil {
		d.say(Change{Effect: EffectLater, Keys: keys}, "%s: each node's mailhad goes by the new value after its next start", list(keys))
	}
	bw, aw := b.Watchdog, a.Watchdog
	if keys := changed(field{"mode", bw.Mode, aw.Mode}, field{"device", bw.Device, aw.Device}, field{"timeout", bw.Timeout, aw.Timeout}); keys != nil {
		d.say(Change{Effect: EffectLater, Keys: keys}, "%s of [watchdog]: each node's mailhad goes by the new value after its next start", list(keys))
	}
	if keys := changed(field{"on_quorum_loss", b.OnQuorumLoss, a.OnQuorumLoss},
		field{"max_moves", b.MaxMoves, a.MaxMoves}, field{"moves_window", b.MovesWindow, a.MovesWindow},
		field{"max_fencings", b.MaxFencings, a.MaxFencings}, field{"fencings_window", b.FencingsWindow, a.FencingsWindow}); keys != nil {
		d.say(Change{Effect: EffectAdjust, Keys: keys}, "%s of the cluster: as the new file has it from now on", list(keys))
	}
	if keys := changed(field{"interval", bh.Interval, ah.Interval}, field{"suspect", bh.Suspect, ah.Suspect}, field{"suspect_max", bh.SuspectMax, ah.SuspectMax}); keys != nil {
		d.say(Change{Effect: EffectAdjust, Keys: keys}, "%s of [heartbeat]: as the new file has it from now on", list(keys))
	}
	ba, aa := b.API, a.API
	if keys := changed(field{"listen", ba.Listen, aa.Listen}, field{"cert_file", ba.CertFile, aa.CertFile}, field{"key_file", ba.KeyFile, aa.KeyFile},
		field{"client_ca_file", ba.ClientCAFile, aa.ClientCAFile}, field{"operators", ba.Operators, aa.Operators}, field{"metrics", ba.Metrics, aa.Metrics}); keys != nil {
		d.say(Change{Effect: EffectAdjust, Keys: keys}, "%s of [api]: as the new file has it from now on", list(keys))
	}
}

func (d *differ) nodes() {
	for _, n := range d.after.Nodes {
		old, ok := d.before.Node(n.Name)
		switch {
		case !ok:
			d.say(Change{Effect: EffectAdjust, Node: n.Name}, "node %q is new: it takes part once it has joined", n.Name)
			continue
		case n.Witness && !old.Witness:
			d.say(Change{Effect: EffectAdjust, Node: n.Name, Keys: []string{"witness"}}, "node %q only votes from now on", n.Name)
		case !n.Witness && old.Witness:
			d.say(Change{Effect: EffectAdjust, Node: n.Name, Keys: []string{"witness"}}, "node %q may run groups from now on", n.Name)
		}
		switch {
		case !d.after.Etcd.External() && old.first().IsValid() && n.first() != old.first():
			d.say(Change{Effect: EffectRefuse, Node: n.Name, Keys: []string{"address"}}, "the first address of node %q cannot change: the other members of etcd know it by that; take the node out, apply that, and let it join anew (docs/mailhad.md, The file)", n.Name)
		case !slices.Equal(n.Addresses, old.Addresses):
			d.say(Change{Effect: EffectAdjust, Node: n.Name, Keys: []string{"address"}}, "node %q is reached at other addresses", n.Name)
		}
	}
	for _, n := range d.before.Nodes {
		if _, ok := d.after.Node(n.Name); !ok {
			what := "node %q is no longer of the cluster and runs nothing"
			if !d.after.Etcd.External() {
				what += "; when it is stopped: mailhactl cluster remove-member %[1]s"
			}
			d.say(Change{Effect: EffectAdjust, Node: n.Name}, what, n.Name)
		}
	}
}

func (d *differ) fences() {
	for _, f := range d.after.Fences {
		old, ok := d.before.Fence(f.Name)
		switch {
		case !ok:
			d.say(Change{Effect: EffectAdjust}, "fence device %q is new: it is checked, and used from now on", f.Name)
		case !reflect.DeepEqual(old, f):
			d.say(Change{Effect: EffectAdjust}, "fence device %q: as the new file has it from now on, and checked", f.Name)
		}
	}
	for _, f := range d.before.Fences {
		if _, ok := d.after.Fence(f.Name); !ok {
			d.say(Change{Effect: EffectAdjust}, "fence device %q is gone: it is not used any more", f.Name)
		}
	}
}

func (d *differ) group(g Group) {
	old, ok := d.before.Group(g.Name)
	if !ok {
		var fresh []string
		for _, r := range g.Resources {
			if _, moved := d.before.Resource(r.Name); moved {
				d.resource(g, r)
			} else {
				fresh = append(fresh, r.Name)
			}
		}
		d.say(Change{Effect: EffectStart, Group: g.Name}, "group %q is new: it is started%s", g.Name, with(fresh))
		return
	}
	for _, p := range old.Nodes {
		if _, still := g.Rank(p.Node); !still {
			d.say(Change{Effect: EffectMove, Group: g.Name, Node: p.Node, Keys: []string{"nodes"}}, "group %q may no longer run on node %q: it moves if it is there", g.Name, p.Node)
		}
	}
	if keys := changed(field{"nodes", old.Nodes, g.Nodes}, field{"failback", old.Failback, g.Failback}, field{"stickiness", old.Stickiness, g.Stickiness},
		field{"apart_from", old.ApartFrom, g.ApartFrom}, field{"failure_window", old.FailureWindow, g.FailureWindow},
		field{"takeover", old.Takeover, g.Takeover}, field{"hold_down", old.HoldDown, g.HoldDown}, field{"weight", old.Weight, g.Weight}); keys != nil {
		d.say(Change{Effect: EffectAdjust, Group: g.Name, Keys: keys}, "group %q: %s as the new file has it from now on", g.Name, list(keys))
	}
	for _, r := range g.Resources {
		d.resource(g, r)
	}
}

func (d *differ) resource(g Group, r Resource) {
	c := Change{Group: g.Name, Resource: r.Name}
	old, ok := d.before.Resource(r.Name)
	switch {
	case !ok:
		c.Effect = EffectStart
		d.say(c, "resource %q is new: it is started where group %q runs", r.Name, g.Name)
		return
	case old.Group != r.Group:
		// The groups may be on different nodes, which start and stop at the same time.
		c.Effect, c.Keys = EffectRefuse, []string{"group"}
		d.say(c, "resource %q cannot go from group %q to group %q at once: apply a file without it, and this one when it is stopped", r.Name, old.Group, r.Group)
		return
	case old.Kind != r.Kind:
		c.Effect, c.Keys = EffectRestart, []string{"kind"}
		d.say(c, "resource %q is stopped as a %s and started as a %s", r.Name, old.Kind, r.Kind)
		return
	}
	if hard, soft := d.params(old, r); hard != nil {
		c.Effect, c.Keys = EffectRestart, hard
		d.say(c, "resource %q is restarted: %s cannot change while it runs", r.Name, list(hard))
	} else if soft != nil {
		c.Effect, c.Keys = EffectAdjust, soft
		d.say(c, "resource %q takes %s without a restart", r.Name, list(soft))
	}
	if old.Standby != r.Standby {
		c.Effect, c.Keys = EffectAdjust, []string{"standby"}
		verb := "stopped"
		if r.Standby == Warm {
			verb = "started"
		}
		d.say(c, "resource %q is %s on the nodes that do not own group %q", r.Name, verb, g.Name)
	}
	if keys := changed(field{"after", old.After, r.After}, field{"on_failure", old.OnFailure, r.OnFailure}, field{"threshold", old.Threshold, r.Threshold},
		field{"start_timeout", old.StartTimeout, r.StartTimeout}, field{"stop_timeout", old.StopTimeout, r.StopTimeout},
		field{"monitor", old.Monitors, r.Monitors}); keys != nil {
		c.Effect, c.Keys = EffectAdjust, keys
		d.say(c, "resource %q: %s as the new file has it from now on", r.Name, list(keys))
	}
}

// params lists the parameters that differ: those that need a restart, and
// those that the agent can reload.
func (d *differ) params(old, r Resource) (hard, soft []string) {
	kind, _ := d.kinds.Kind(r.Kind)
	all := maps.Clone(old.Params)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, r.Params)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		p, _ := kind.Param(name)
		switch {
		case cmp.Or(old.Params[name], p.Default) == cmp.Or(r.Params[name], p.Default):
		case p.Reloadable:
			soft = append(soft, name)
		default:
			hard = append(hard, name)
		}
	}
	return hard, soft
}

// gone reports what the new file no longer has of a group.
func (d *differ) gone(g Group) {
	var left []string
	for _, r := range g.Resources {
		if _, still := d.after.Resource(r.Name); !still {
			left = append(left, r.Name)
		}
	}
	if _, ok := d.after.Group(g.Name); !ok {
		d.say(Change{Effect: EffectStop, Group: g.Name}, "group %q is gone: it is stopped%s", g.Name, with(left))
		return
	}
	for _, name := range left {
		d.say(Change{Effect: EffectStop, Group: g.Name, Resource: name}, "resource %q is gone: it is stopped", name)
	}
}

func with(resources []string) string {
	if len(resources) == 0 {
		return ""
	}
	return " with " + list(resources)
}

// list writes a, b and c.
func list(all []string) string {
	if len(all) < 2 {
		return strings.Join(all, "")
	}
	last := len(all) - 1
	return strings.Join(all[:last], ", ") + " and " + all[last]
}
