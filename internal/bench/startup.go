// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"os"
	"os/exec"
)

// startup measures what every call costs before it does anything: ours as a call that
// asks for nothing that there is, theirs as a shell that reads the functions
// which all shell agents begin with.
func startup(ctx context.Context) ([]Samples, error) {
	const (
		runs          = 200
		unimplemented = 3
		peer          = "sh with ocf-shellfuncs"
	)
	wall := Samples{Name: "start-up of a call, wall time", Unit: "ms", Peer: peer}
	cpu := Samples{Name: "start-up of a call, CPU time", Unit: "ms", Peer: peer}
	faults := Samples{Name: "start-up of a call, page faults", Unit: "count", Peer: peer}
	for i := range runs + 1 {
		shell := exec.CommandContext(ctx, "/bin/sh", "-c", ". "+ocfRoot+"/lib/heartbeat/ocf-shellfuncs")
		shell.Env = append(os.Environ(), "OCF_ROOT="+ocfRoot, "OCF_RESOURCE_INSTANCE=bench")
		theirs, err := measure(shell)
		if err != nil {
			return nil, err
		}
		ours, err := measure(exec.CommandContext(ctx, ocfRoot+"/resource.d/mailha/vip", "nothing"), unimplemented)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			continue // it warms up
		}
		wall.Ours, wall.Theirs = append(wall.Ours, millis(ours.Wall)), append(wall.Theirs, millis(theirs.Wall))
		cpu.Ours, cpu.Theirs = append(cpu.Ours, millis(ours.CPU)), append(cpu.Theirs, millis(theirs.CPU))
		faults.Ours, faults.Theirs = append(faults.Ours, float64(ours.Faults)), append(faults.Theirs, float64(theirs.Faults))
	}
	return []Samples{wall, cpu, faults}, nil
}
