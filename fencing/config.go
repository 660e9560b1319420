// SPDX-License-Identifier: Apache-2.0

package fencing

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/mailha/mailha/resources"
)

// Devices are the fence devices of a configuration.
func Devices(c *resources.Cluster) []Device {
	var all []Device
	for _, f := range c.Fences {
		all = append(all, Device{
			Name: f.Name, Agent: f.Agent, Ports: maps.Clone(f.Ports), Level: f.Level, Action: Action(f.Action), Method: Method(f.Method),
			Delay: f.Delay, DelayRandom: f.DelayRandom, Timeout: f.Timeout, Attempts: f.Attempts, Verify: f.Verify,
			CheckInterval: f.CheckInterval, LeavesOn: f.LeavesOn, Parameters: maps.Clone(f.Parameters), Secrets: maps.Clone(f.Secrets),
		})
	}
	return all
}

// CheckFile asks the agents of a configuration that are installed here for their metadata,
// each once, and returns what they say is wrong with it, at its places in the text. It
// runs programs: a file has to be checked by itself before. What cannot be found out on
// this node is a warning.
func CheckFile(ctx context.Context, file string, data []byte, c *resources.Cluster) (problems, warnings resources.Problems) {
	type known struct {
		*Metadata
		err error
	}
	agents := map[string]known{}
	for _, d := range Devices(c) {
		a, ok := agents[d.Agent]
		if !ok {
			a.Metadata, a.err = Describe(ctx, d.Agent)
			agents[d.Agent] = a
		}
		switch {
		case errors.Is(a.err, ErrNotInstalled):
			warnings = append(warnings, resources.FenceProblem(file, data, d.Name, "", fmt.Sprintf("agent %s is not installed on this node, so that its parameters are not checked", d.Agent), "every node that may have to fence needs it"))
		case a.err != nil:
			problems = append(problems, resources.FenceProblem(file, data, d.Name, "", a.err.Error(), ""))
		default:
			for _, p := range a.Problems(d) {
				problems = append(problems, resources.FenceProblem(file, data, d.Name, p.Param, p.What, p.Hint))
			}
		}
	}
	for _, all := range []resources.Problems{problems, warnings} {
		slices.SortStableFunc(all, func(a, b resources.Problem) int { return a.Line - b.Line })
	}
	return problems, warnings
}
