// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cost is what one call took.
type cost struct {
	Wall, CPU time.Duration // CPU of the process and all descendants that it waited for
	Tasks     int           // processes and threads made on the machine meanwhile
	Faults    int64         // page faults of the process and all descendants that it waited for
}

// call runs one action and fails unless that succeeds, or finds what is promoted.
func (a agent) call(ctx context.Context, action string) (cost, error) {
	const (
		timeout, interval = time.Minute, 10 * time.Second
		promoted          = 8
	)
	cmd := exec.CommandContext(ctx, a.program(), action)
	cmd.Env = append(os.Environ(), a.environ(timeout, interval, 0)...)
	if action == "monitor" {
		return measure(cmd, promoted)
	}
	return measure(cmd)
}

// measure runs a command and fails unless it exits with 0, or with another code that
// is wanted.
func measure(cmd *exec.Cmd, wanted ...int) (cost, error) {
	// Files, not pipes: a daemon that an agent starts may keep them open.
	output, err := os.CreateTemp("", "bench")
	if err != nil {
		return cost{}, err
	}
	defer os.Remove(output.Name())
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output

	before, err := tasks()
	if err != nil {
		return cost{}, err
	}
	begin := time.Now()
	err = cmd.Run()
	wall := time.Since(begin)
	after, tasksErr := tasks()
	if err != nil && !slices.Contains(wanted, cmd.ProcessState.ExitCode()) {
		text, _ := os.ReadFile(output.Name())
		return cost{}, fmt.Errorf("%s: %w: %s", cmd, err, text)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return cost{}, errors.New("no resource usage on this system")
	}
	cpu := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	return cost{Wall: wall, CPU: cpu, Tasks: after - before, Faults: usage.Minflt + usage.Majflt}, tasksErr
}

// tasks counts all processes and threads made since boot: proc(5) stat.
func tasks() (int, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	for sc := bufio.NewScanner(bytes.NewReader(data)); sc.Scan(); {
		if n, ok := strings.CutPrefix(sc.Text(), "processes "); ok {
			return strconv.Atoi(n)
		}
	}
	return 0, errors.New("/proc/stat has no line of processes")
}
