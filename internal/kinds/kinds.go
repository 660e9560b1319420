// SPDX-License-Identifier: Apache-2.0

// Package kinds tells the readers of mailha.toml what the agents that ship take.
//
// It must never say anything of a parameter that the agent's own table does not.
package kinds

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/internal/suite"
	"github.com/mailha/mailha/resources"
)

// Shipped are the kinds of the agents that ship.
func Shipped() resources.Kinds { return Of(suite.Types()) }

// Of makes a kind of each type of agent.
func Of(types []agents.Type) resources.Kinds {
	all := make(resources.Kinds, len(types))
	for i, t := range types {
		all[i] = kind(t)
	}
	return all
}

func kind(t agents.Type) resources.Kind {
	k := resources.Kind{
		Name: t.Name, Warm: warm(t.Name),
		Check: func(values map[string]string) []resources.ParamProblem { return check(t, values) },
	}
	for _, p := range table(t) {
		k.Params = append(k.Params, resources.Param{
			Name: p.Name, Default: p.Value.String(), Required: p.Required, Unique: p.Unique, Reloadable: p.Reloadable,
		})
	}
	for _, a := range t.Actions {
		switch {
		case a.Name == "start":
			k.StartTimeout = a.Timeout
		case a.Name == "stop":
			k.StopTimeout = a.Timeout
		case a.Name == "monitor" && a.Role != agents.RoleUnpromoted:
			k.Monitors = append(k.Monitors, resources.Monitor{Depth: int(a.Depth), Interval: a.Interval, Timeout: a.Timeout})
		}
	}
	slices.SortFunc(k.Monitors, func(a, b resources.Monitor) int { return cmp.Compare(a.Depth, b.Depth) })
	return k
}

// warm says whether several nodes may run one at once: what has no addresses or
// data that only one node may have.
func warm(name string) bool {
	return slices.Contains([]string{"mta", "internet-agent", "directory"}, name)
}

func agent(t agents.Type) agents.Agent { return t.New(agents.Env{Kind: t.Name, Instance: t.Name}) }

// table is one that belongs to no resource.
func table(t agents.Type) agents.Table { return agent(t).Params() }

// patience bounds what should only look at words.
const patience = 5 * time.Second

func check(t agents.Type, values map[string]string) []resources.ParamProblem {
	a := agent(t)
	wrong := a.Params().Parse(values)
	if wrong == nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		wrong = a.Validate(ctx, agents.DepthShallow)
	}
	var all []resources.ParamProblem
	for _, err := range parts(wrong) {
		var wrong *agents.ParamError
		switch {
		case !errors.As(err, &wrong):
			all = append(all, resources.ParamProblem{What: err.Error()})
		case wrong.Text == "":
			all = append(all, resources.ParamProblem{Param: wrong.Name, What: wrong.Err.Error()})
		default:
			all = append(all, resources.ParamProblem{Param: wrong.Name, What: wrong.Err.Error() + " (it is \"" + wrong.Text + "\")"})
		}
	}
	return all
}

// parts are the errors that were joined into one.
func parts(err error) []error {
	if err == nil {
		return nil
	}
	if _, one := err.(*agents.ParamError); one {
		return []error{err}
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}
