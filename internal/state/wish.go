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
		return fmt.Sprintf("%s to be stopped", w.Resource)
	case Restart:
		return "a restart of " + w.Resource
	}
	return string(w.Kind)
}

func (w Wish) event(what string) Event {
	return Event{By: w.By, Node: w.Node, Group: w.Group, Resource: w.Resource, What: what}
}
