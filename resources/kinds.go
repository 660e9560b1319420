// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"net/netip"
	"time"
)

// Kinds are the kinds of resources that there are, in the order in which people
// are shown them.
type Kinds []Kind

// Kind is what a file may say about resources of one kind.
type Kind struct {
	Name   string
	Params []Param
	// Check looks at the parameters of one resource, by themselves, and returns
	// what is wrong, in no order. Names that Params does not have are not among
	// them, and what is required is. Nil: nothing more to check.
	Check func(params map[string]string) []ParamProblem
	// Warm says whether several nodes may run one at once.
	Warm bool
	// Unguarded says what would be damaged if two nodes ran one at once and nothing but the
	// cluster kept them from it; empty: nothing. Nil: nothing of any. Bad parameters are
	// Check's business.
	Unguarded func(params map[string]string) string
	// Defaults of what a file does not say.
	StartTimeout, StopTimeout time.Duration
	Monitors                  []Monitor
}

// Param is a parameter of a kind.
type Param struct {
	Name     string
	Default  string // empty: none
	Required bool
	// Unique names the set in which its value may occur only once: on a node, or
	// in the cluster for the set "address". Empty: it may be repeated.
	Unique     string
	Reloadable bool // a change needs no restart
}

// ParamProblem is what is wrong with a parameter.
type ParamProblem struct {
	Param string // empty: the resource as a whole
	What  string
	Hint  string
}

// Kind finds a kind.
func (k Kinds) Kind(name string) (Kind, bool) {
	return find(k, func(k Kind) bool { return k.Name == name })
}

// Names lists the kinds.
func (k Kinds) Names() []string { return names(k, func(k Kind) string { return k.Name }) }

// Param finds a parameter.
func (k Kind) Param(name string) (Param, bool) {
	return find(k.Params, func(p Param) bool { return p.Name == name })
}

// Addresses are those that a resource with these parameters brings up.
func (k Kind) Addresses(params map[string]string) []netip.Addr {
	var all []netip.Addr
	for _, p := range k.Params {
		if p.Unique != UniqueAddress {
			continue
		}
		for _, v := range p.values(params[p.Name]) {
			all = append(all, netip.MustParseAddr(v)) // values wrote it
		}
	}
	return all
}

func names[T any](list []T, name func(T) string) []string {
	all := make([]string, len(list))
	for i, v := range list {
		all[i] = name(v)
	}
	return all
}
