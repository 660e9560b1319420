// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// process names one process for good: a PID alone is reused, a PID with the
// start time (in clock ticks since boot, field 22 of proc_pid_stat(5)) is not.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
}

func findProcess(pid int) (process, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, fmt.Errorf("process %d: %w", pid, err)
	}
	start, err := startTime(stat)
	if err != nil {
		return process{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return process{PID: pid, Start: start}, nil
}

// startTime reads field 22. Field 2 is a name that may hold blanks and
// parentheses, so fields are counted from the last parenthesis.
func startTime(stat []byte) (uint64, error) {
	i := bytes.LastIndexByte(stat, ')')
	fields := bytes.Fields(stat[i+1:])
	if i < 0 || len(fields) < 20 {
		return 0, fmt.Errorf("stat line %q: too few fields", stat)
	}
	return strconv.ParseUint(string(fields[19]), 10, 64)
}

// open returns a pidfd of the process, or an error that is os.ErrNotExist when
// it is gone. Checking the start time after opening closes the race with reuse.
func (p process) open() (int, error) {
	if p.PID <= 0 {
		return -1, os.ErrNotExist
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return -1, os.ErrNotExist
	}
	if err != nil {
		return -1, fmt.Errorf("process %d: pidfd_open: %w", p.PID, err)
	}
	if now, err := findProcess(p.PID); err != nil || now != p {
		unix.Close(fd)
		return -1, os.ErrNotExist
	}
	return fd, nil
}

// alive tells whether the process runs; a zombie does not.
func (p process) alive() bool {
	fd, err := p.open()
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return !exited(fd, 0)
}

// signal sends sig; a process that is gone is not an error.
func (p process) signal(sig unix.Signal) error {
	fd, err := p.open()
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = unix.PidfdSendSignal(fd, sig, nil, 0)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("process %d: signal %v: %w", p.PID, sig, err)
	}
	return nil
}

// wait returns when the process has exited. For the first process of a PID
// namespace that means that all others in it have exited before.
func (p process) wait(ctx context.Context) error {
	fd, err := p.open()
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for !exited(fd, 100*time.Millisecond) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("process %d is still there: %w", p.PID, err)
		}
	}
	return nil
}

// exited waits up to d for the process behind the pidfd to exit.
func exited(pidfd int, d time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(d.Milliseconds()))
	return err == nil && n == 1
}
