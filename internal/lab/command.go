// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Result is what a program left behind.
type Result struct {
	Stdout, Stderr string
	ExitCode       int
}

// command is exec.CommandContext for argv inside the control group. When ctx
// ends, the whole process group is killed: nsenter forks to enter a PID
// namespace, so killing the first process would leave the real one running.
func command(ctx context.Context, g cgroup, argv ...string) *exec.Cmd {
	argv = g.joining(argv...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

// result runs the command to its end. An exit code other than 0 is no error;
// not having run, a deadline and death by a signal are.
func result(ctx context.Context, cmd *exec.Cmd) (Result, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	r := Result{Stdout: stdout.String(), Stderr: stderr.String(), ExitCode: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil && err != nil:
		return r, context.Cause(ctx)
	case errors.Is(err, exec.ErrWaitDelay): // a daemon keeps our pipe
		return r, nil
	case errors.As(err, &exit) && exit.Exited():
		return r, nil
	}
	return r, err
}

// output is what a caller wants who takes any exit code but 0 as an error.
func output(r Result, err error, where string, argv []string) (string, error) {
	if err == nil && r.ExitCode != 0 {
		err = fmt.Errorf("exit code %d", r.ExitCode)
	}
	if err != nil {
		said := strings.TrimSpace(r.Stdout + "\n" + r.Stderr)
		return "", fmt.Errorf("%s: %s: %w: %s", where, strings.Join(argv, " "), err, said[max(0, len(said)-2000):])
	}
	return strings.TrimSpace(r.Stdout), nil
}
