// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"time"

	"github.com/mailha/mailha/internal/state"
)

// Orders about one node or one resource.

func (o *order) standby() (Done, error) {
	n, err := o.runner(o.r.PathValue("node"))
	if err != nil {
		return Done{}, err
	}
	w := state.Wish{Kind: state.Standby, Node: n.Name}
	if w, ok := o.view.standby(n.Name); ok && w.Until.IsZero() && o.For == 0 && o.Why == "" {
		return Done{What: n.Name + " is on standby already", Already: true, Node: n.Name}, nil
	}
	if err := o.harmless(w); err != nil {
		return Done{}, err
	}
	return o.put(w, 0, n.Name+" is to run nothing")
}

func (o *order) online() (Done, error) {
	n, err := o.runner(o.r.PathValue("node"))
	if err != nil {
		return Done{}, err
	}
	done, err := o.end(func(w state.Wish) bool { return w.Kind == state.Standby && w.Node == n.Name },
		n.Name+" may run groups again", n.Name+" is not on standby")
	done.Node = n.Name
	return done, err
}

// fencedFor is how long an operator's word is good that a node is off.
const fencedFor = time.Hour

// fenceFor is how long it is tried to have a node switched off.
const fenceFor = 10 * time.Minute

func (o *order) fenced() (Done, error) {
	name := o.r.PathValue("node")
	waits := func(w state.Wish) bool { return w.Kind == state.Hear && w.Node == name }
	// After a restore, a node may be waited for that the configuration of then has not.
	_, unheard := o.wish(state.Hear, waits)
	if !unheard {
		if _, err := o.runner(name); err != nil {
			return Done{}, err
		}
	}
	if _, present := o.Nodes[name]; present {
		return Done{}, fault(CodeRefused, "mailhactl node standby "+name+" has it run nothing", "%s is present: it is not off", name)
	}
	done, err := o.put(state.Wish{Kind: state.Fenced, Node: name}, fencedFor, name+" is taken as switched off: its groups start elsewhere")
	if err != nil || !unheard {
		return done, err
	}
	if _, err := o.end(waits, "", ""); err != nil {
		return Done{}, err
	}
	return done, nil
}

func (o *order) stop() (Done, error) {
	r, _, err := o.resource(o.r.PathValue("name"))
	if err != nil {
		return Done{}, err
	}
	if w, ok := o.wish(state.Stop, func(w state.Wish) bool { return w.Resource == r.Name }); ok && w.Until.IsZero() && o.For == 0 && o.Why == "" {
		return Done{What: r.Name + " is to be stopped already", Already: true}, nil
	}
	return o.put(state.Wish{Kind: state.Stop, Resource: r.Name}, 0, r.Name+" is to be stopped")
}

// start takes a stop back, and forgets what failed: it is tried again.
func (o *order) start() (Done, error) {
	r, g, err := o.resource(o.r.PathValue("name"))
	if err != nil {
		return Done{}, err
	}
	forgiven, err := o.forgive(g, r.Name)
	if err != nil {
		return Done{}, err
	}
	done, err := o.end(func(w state.Wish) bool { return w.Kind == state.Stop && w.Resource == r.Name },
		r.Name+" is to run", "nobody asked "+r.Name+" to be stopped")
	return forgiven.and(done), err
}

func (o *order) restart() (Done, error) {
	r, g, err := o.resource(o.r.PathValue("name"))
	if err != nil {
		return Done{}, err
	}
	owned := o.Groups[g.Name]
	if _, ok := o.wish(state.Stop, func(w state.Wish) bool { return w.Resource == r.Name }); ok {
		return Done{}, fault(CodeRefused, "mailhactl resource start "+r.Name, "%s is to be stopped", r.Name)
	}
	if _, present := o.Nodes[owned.Owner]; !present {
		return Done{}, fault(CodeRefused, "mailhactl explain "+g.Name, "%s cannot be restarted, as its group %s runs nowhere", r.Name, g.Name)
	}
	if w, ok := o.wish(state.Maintenance, func(state.Wish) bool { return true }); ok && !o.Force {
		return Done{}, fault(CodeRefused, "mailhactl maintenance off", "%s would not be restarted: there is maintenance%s", r.Name, asked(w, o.now))
	}
	w := state.Wish{Kind: state.Restart, Resource: r.Name}
	if former, ok := o.same(w); ok && !former.Over(o.now) {
		return Done{What: r.Name + " is to be restarted already", Already: true, Revision: former.Rev}, nil
	}
	const within = 10 * time.Minute // a restart much later would surprise
	return o.put(w, within, fmt.Sprintf("%s is to be restarted on %s", r.Name, owned.Owner))
}
