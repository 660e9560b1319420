// SPDX-License-Identifier: Apache-2.0

package heartbeat

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// hasten gives all threads that this program has now the lowest real-time priority
// (sched(7)), and this one the next, or takes it from them: a host whose processors are
// busy runs them when there is something to do, and not when their turn has come. One
// thread is not enough: it waits for others while garbage is collected. What they
// start, programs and threads, is in no hurry.
func hasten(on bool) error {
	const dir = "/proc/self/task"
	threads, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list the threads of this program: %w", err)
	}
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			return fmt.Errorf("%s has an entry %q", dir, t.Name())
		}
		attr := unix.SchedAttr{Size: unix.SizeofSchedAttr}
		if on {
			attr.Policy, attr.Priority, attr.Flags = unix.SCHED_RR, 1, unix.SCHED_FLAG_RESET_ON_FORK
			if id == unix.Gettid() {
				attr.Priority = 2
			}
		}
		if err := unix.SchedSetAttr(id, &attr, 0); err != nil && !errors.Is(err, unix.ESRCH) { // it may have ended
			return fmt.Errorf("run with the priority of real time: %w", err)
		}
	}
	return nil
}
