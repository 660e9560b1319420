// SPDX-License-Identifier: Apache-2.0

package state

import "fmt"

// String names the wish in a sentence: "the move of mail to n2".
func (w Wish) String() string {
	switch w.Kind {
	case Move:
		return fmt.Sprintf("the move of %s to %s", w.Group, w.Node)
	case Standby:
		return "standby of " + w.Node
	case Maintenance:
		return "maintenance"
	case Ban:
		return fmt.Sprintf("the ban of %s from %s", w.Group, w.Node)
	case Stop:
		return "a stop of " + w.Resource
	case StopGroup:
		return "a stop of group " + w.Group
	case Fenced:
		return fmt.Sprintf("the word that %s is switched off", w.Node)
	case Fence:
		return "the fencing of " + w.Node
	case Hear:
		return fmt.Sprintf("the wait for what %s still has", w.Node)
	case Restart:
		return "a restart of " + w.Resource
	}
	return string(w.Kind)
}

// Same says whether two wishes are about the same, so that the one replaces the other.
func (w Wish) Same(o Wish) bool {
	a, err1 := w.subject()
	b, err2 := o.subject()
	return err1 == nil && err2 == nil && w.Kind == o.Kind && a == b
}

func (w Wish) event(what string) Event {
	return Event{By: w.By, Node: w.Node, Group: w.Group, Resource: w.Resource, What: what}
}

// Fenced finds the word that the group's owner is off. It counts for what the owner
// had written before, and only as long as the owner is not present: one that came back
// and went again is not meant. A device's word counts for what was written before the
// shot, or in the life that was meant: whatever came between the shot and the word may be another life.
func (s Snapshot) Fenced(g Group) (Wish, bool) {
	if _, present := s.Nodes[g.Owner]; present || g.Owner == "" {
		return Wish{}, false
	}
	for _, w := range s.Wishes {
		if w.Kind == Fenced && w.Node == g.Owner && w.covers(g) {
			return w, true
		}
	}
	return Wish{}, false
}

func (w Wish) covers(g Group) bool {
	if w.AsOf != 0 {
		return g.Rev < w.AsOf || w.Life != 0 && g.Session == w.Life
	}
	return g.Rev < w.Rev
}

// Unheard are the nodes that have not written down what they still have since the
// cluster was restored. Nothing can be taken as long as there are any.
func (s Snapshot) Unheard() []string {
	var names []string
	for _, w := range s.Wishes {
		if w.Kind == Hear {
			names = append(names, w.Node)
		}
	}
	return names
}
