// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mailha/mailha/fencing"
	"github.com/mailha/mailha/internal/heartbeat"
	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

// Senses are what this node hears by itself, beside what the nodes know together.
type Senses struct {
	// Hearts are whom it hears; nil: it does not listen.
	Hearts func() heartbeat.View
	// Checks are what it found of the fence devices; nil: there are none.
	Checks func() []fencing.Check
	// Certificate is when this node's ends; nil or false: it is not known.
	Certificate func() (time.Time, bool)
}

func (s Senses) hearts() heartbeat.View {
	if s.Hearts == nil {
		return heartbeat.View{}
	}
	return s.Hearts()
}

func (s Senses) checks() []fencing.Check {
	if s.Checks == nil {
		return nil
	}
	return s.Checks()
}

func (s Senses) expires() time.Time {
	if s.Certificate == nil {
		return time.Time{}
	}
	end, ok := s.Certificate()
	if !ok {
		return time.Time{}
	}
	return end
}

// fencingOf is the latest attempt to have a node fenced; nil: there was none.
func fencingOf(s state.Shot) *Fencing {
	if s.Phase == "" {
		return nil
	}
	return &Fencing{Phase: string(s.Phase), By: s.By, Since: s.Since, Why: s.Why, Device: s.Device, Tries: s.Tries, Times: s.Past}
}

// canFence says whether the configuration has a device for a node.
func canFence(c *resources.Cluster, node string) bool {
	return slices.ContainsFunc(c.Fences, func(f resources.Fence) bool { _, has := f.Ports[node]; return has })
}

// shot tells how the fencing of a node fares.
func (j *judge) shot(n resources.Node) {
	shot := j.Shots[n.Name]
	now, present := j.Nodes[n.Name]
	_, byPresent := j.Nodes[shot.By]
	again := !present || now.Session == shot.Life
	switch {
	case shot.Phase == state.Shooting && byPresent && again:
		j.add(SeverityWarning, Problem{What: n.Name + " is being fenced by " + shot.By + since(shot.Since, j.now) + colon(shot.Why), Node: n.Name})
	case shot.Phase == state.Missed && again && (!present || j.hearts.dead(n.Name)):
		hint := "make sure that it is off, then mailhactl fence confirm " + n.Name
		if present { // until then that is refused, and the lease ends by itself
			hint = "it is tried again; what it has is taken over when its lease is over, or, if that is not enough, " + hint
		}
		j.add(SeverityError, Problem{
			What: fmt.Sprintf("%s could not be fenced, tried %s: %s", n.Name, times(shot.Tries), shot.Why), Node: n.Name, Hint: hint,
		})
	case shot.Phase == state.Off && !present:
		j.add(SeverityNote, Problem{What: n.Name + " was fenced " + ago(shot.Since, j.now) + colon(shot.Why), Node: n.Name})
	}
}

// ears are what the hearts say.
type ears struct{ heartbeat.View }

func (e ears) dead(node string) bool {
	s, known := e.Node(node)
	return known && s.State == heartbeat.Suspect
}

// hearing tells of nodes and ways that are silent.
func (j *judge) hearing() {
	for _, s := range j.hearts.Nodes {
		_, present := j.Nodes[s.Node]
		switch {
		case s.Node == j.node || !present:
		case s.State == heartbeat.Suspect:
			what := fmt.Sprintf("%s looks dead to %s: nothing was heard for %s", s.Node, strings.Join(s.DeadTo, ", "), span(j.hearts.At.Sub(s.Heard)))
			p := Problem{What: what, Node: s.Node}
			if !canFence(j.cluster, s.Node) {
				p.Hint = "it has no fence device: what it has is taken over when its lease is over"
			}
			j.add(SeverityError, p)
		}
		for _, p := range s.Paths {
			if p.Silent {
				j.add(SeverityWarning, Problem{What: fmt.Sprintf("nothing comes from %s over %s, though it is heard otherwise", s.Node, p.Remote), Node: s.Node,
					Hint: "see whether that network works"})
			}
		}
	}
}

// devices tells of fence devices that would not do what they are for.
func (j *judge) devices() {
	for _, c := range j.checks {
		if !c.OK {
			j.add(SeverityError, Problem{What: fmt.Sprintf("fence device %s, asked from %s %s: %s", c.Device, j.node, ago(c.At, j.now), c.Reason),
				Hint: "mend it before it is needed; it is checked again by itself"})
		}
	}
}

// fence has a node switched off, whatever it runs.
func (o *order) fence() (Done, error) {
	name := o.r.PathValue("node")
	if _, known := o.cluster.Node(name); !known {
		return Done{}, fault(CodeNotFound, "mailhactl status", "there is no node %s", name)
	}
	if !canFence(o.cluster, name) {
		return Done{}, fault(CodeRefused, "[[fence]] in the configuration says how", "%s has no fence device", name)
	}
	if len(o.Nodes) < 2 && o.Nodes[name].Name != "" {
		return Done{}, fault(CodeRefused, "systemctl poweroff on "+name, "no other node is present that could fence %s", name)
	}
	return o.put(state.Wish{Kind: state.Fence, Node: name}, fenceFor, name+" is to be fenced")
}
