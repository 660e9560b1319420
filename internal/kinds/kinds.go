// SPDX-License-Identifier: Apache-2.0

// Package kinds tells a configuration file what there is to say about each kind of
// resource: the agents' own tables and figures, in the words of package resources.
//
// It must never know of a kind by itself.
package kinds

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/resources"
)

// Of is what a configuration file may say about resources of these types.
func Of(types []agents.Type) resources.Kinds {
	var kinds resources.Kinds
	for _, t := range types {
		kinds = append(kinds, kind(t))
	}
	return kinds
}

func kind(t agents.Type) resources.Kind {
	a := t.New(agents.Env{Kind: t.Name, Instance: "x"})
	k := resources.Kind{
		Name:   t.Name,
		Check:  func(params map[string]string) []resources.ParamProblem { return check(t, params) },
		Warm:   isWarm(t, a),
		Params: params(a.Params()),
	}
	if _, ok := a.(agents.Exclusive); ok {
		k.Unguarded = func(params map[string]string) string { return unguarded(t, params) }
	}
	for _, action := range t.Actions {
		switch action.Name {
		case "start":
			k.StartTimeout = action.Timeout
		case "stop":
			k.StopTimeout = action.Timeout
		case "monitor":
			k.Monitors = withMonitor(k.Monitors, action)
		}
	}
	return k
}

// isWarm says whether several nodes may run one at once: all but what has addresses
// or data that must be in one place. Of a service, whoever writes the file knows.
func isWarm(t agents.Type, a agents.Agent) bool {
	_, promotable := a.(agents.Promoter)
	return promotable || t.Name == "service" || t.Name == "mta" || t.Name == "internet-agent"
}

// withMonitor takes one figure for each depth; those of several roles differ by a
// second only because Pacemaker wants it so.
func withMonitor(list []resources.Monitor, a agents.Action) []resources.Monitor {
	if slices.ContainsFunc(list, func(m resources.Monitor) bool { return m.Depth == int(a.Depth) }) {
		return list
	}
	const most = agents.DepthProtocol // a transaction needs the consent of whoever runs the service
	if a.Depth > most {
		return list
	}
	m := resources.Monitor{Depth: int(a.Depth), Interval: a.Interval, Timeout: a.Timeout}
	i, _ := slices.BinarySearchFunc(list, m, func(x, y resources.Monitor) int { return x.Depth - y.Depth })
	return slices.Insert(list, i, m)
}

func params(table agents.Table) []resources.Param {
	var all []resources.Param
	for _, p := range table {
		unique := p.Unique
		if p.Name == "ip" {
			unique = "address"
		}
		all = append(all, resources.Param{Name: p.Name, Default: p.Value.String(), Required: p.Required, Unique: unique, Reloadable: p.Reloadable})
	}
	return all
}

// unguarded asks the agent itself.
func unguarded(t agents.Type, params map[string]string) string {
	a, ok := t.New(agents.Env{Kind: t.Name, Instance: "x"}).(agents.Exclusive)
	if !ok || a.Params().Parse(params) != nil {
		return ""
	}
	return a.Unguarded()
}

// check asks the agent itself.
func check(t agents.Type, params map[string]string) []resources.ParamProblem {
	const patience = 5 * time.Second // nothing here waits for anybody
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	a := t.New(agents.Env{Kind: t.Name, Instance: "x"})
	err := a.Params().Parse(params)
	if err == nil {
		err = a.Validate(ctx, agents.DepthShallow)
	}
	return problems(err)
}

// problems takes joined errors apart.
func problems(err error) []resources.ParamProblem {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok && err.Error() == errors.Join(many.Unwrap()...).Error() {
		var all []resources.ParamProblem
		for _, err := range many.Unwrap() {
			all = append(all, problems(err)...)
		}
		return all
	}
	var one *agents.ParamError
	if errors.As(err, &one) {
		return []resources.ParamProblem{{Param: one.Name, What: one.Err.Error()}}
	}
	return []resources.ParamProblem{{What: err.Error()}}
}
