// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
)

// UniqueAddress is the set of parameters that are lists of addresses, of which
// the whole network has each only once.
const UniqueAddress = "address"

// claim is a value that may occur only once, and who has it.
type claim struct {
	*resourceText
	param     Param
	value     string
	defaulted bool
}

// checkUnique reports what two resources have and only one may.
func (c *checker) checkUnique() {
	type spot struct{ set, value string }
	have := map[spot][]claim{}
	for _, r := range c.order {
		for _, p := range r.kind.Params {
			if p.Unique == "" {
				continue
			}
			text, set := r.Params[p.Name]
			if text == "" {
				text, set = p.Default, false
			}
			if !set && r.told(p) {
				continue
			}
			for _, v := range p.values(text) {
				mine := claim{r, p, v, !set}
				c.ownAddress(mine)
				i := slices.IndexFunc(have[spot{p.Unique, v}], func(o claim) bool { return c.meet(o, mine) })
				if i >= 0 {
					c.clash(have[spot{p.Unique, v}][i], mine)
				}
				have[spot{p.Unique, v}] = append(have[spot{p.Unique, v}], mine)
			}
		}
	}
}

// told says whether a resource is told from others by another parameter, which the
// file has: each product of a kind has a parameter of its own for that, and the
// default of those of other products means nothing.
func (r *resourceText) told(p Param) bool {
	return slices.ContainsFunc(r.kind.Params, func(o Param) bool {
		return o.Unique != "" && o.Unique != UniqueAddress && o.Unique != "unit" && o.Name != p.Name && r.Params[o.Name] != ""
	})
}

// values are what of a parameter's text may occur only once, in one way of
// writing it.
func (p Param) values(text string) []string {
	switch {
	case text == "":
		return nil
	case p.Unique != UniqueAddress:
		if filepath.IsAbs(text) {
			text = filepath.Clean(text)
		}
		return []string{text}
	}
	var all []string
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' }) {
		host, _, _ := strings.Cut(word, "/")
		if a, err := netip.ParseAddr(host); err == nil { // else the kind's own check tells
			all = append(all, a.Unmap().WithZone("").String())
		}
	}
	return all
}

// meet says whether two resources are ever where their values get into each
// other's way.
func (c *checker) meet(a, b claim) bool {
	if a.resourceText == b.resourceText {
		return false // the kind's own check knows better
	}
	return a.param.Unique == UniqueAddress || c.sharedNode(a, b) != ""
}

// sharedNode is a node that both may run on.
func (c *checker) sharedNode(a, b claim) string {
	first, ok1 := c.groups[a.group.text]
	second, ok2 := c.groups[b.group.text]
	if !ok1 || !ok2 {
		return ""
	}
	for _, p := range first.Nodes {
		if _, ok := second.Rank(p.Node); ok {
			return p.Node
		}
	}
	return ""
}

func (c *checker) clash(old, mine claim) {
	if mine.param.Unique == UniqueAddress {
		mine.problem(mine.place(), "an address is in one resource; shared_ip names those of another one", "address %s is that of resource %q in line %d already", mine.value, old.Name, old.section.at.line)
		return
	}
	hint := "give one of them another"
	if mine.defaulted || old.defaulted {
		hint = "that is what it is where the file does not say otherwise; " + hint
	}
	mine.problem(mine.place(), hint, "%s %q is that of resource %q in line %d already, and both may run on node %q",
		mine.param.Name, mine.value, old.Name, old.section.at.line, c.sharedNode(old, mine))
}

// ownAddress reports a VIP that is a machine's own address.
func (c *checker) ownAddress(mine claim) {
	a, err := netip.ParseAddr(mine.value)
	if mine.param.Unique != UniqueAddress || err != nil {
		return
	}
	for _, n := range c.cluster.Nodes {
		if slices.Contains(n.Addresses, a) {
			mine.problem(mine.place(), "take one that no machine has", "address %s is node %q's own", mine.value, n.Name)
		}
	}
}

// place is where the value is, or where it would be.
func (m claim) place() place {
	if at, ok := m.places[m.param.Name]; ok {
		return at
	}
	return m.placeOf("params")
}
