// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/farewell"
	"github.com/mailha/mailha/agents/process"
	"github.com/mailha/mailha/agents/socket"
	"github.com/mailha/mailha/vip"
)

// crew are the processes of an instance by what they do.
type crew struct {
	starters   []process.Process // the daemon and queue runners: what would begin new work
	receivers  []process.Process // each with one client
	deliveries map[string]bool   // by the messages' files
}

// job is what can be seen of a process of Exim.
type job struct {
	args    []string // without the program itself
	message string   // the data file of the message that it has open; empty: none
	sockets []uint32 // their inodes
	listens bool     // for clients
}

// Kinds of jobs. A child of the daemon that receives mail has the daemon's own
// arguments; one that delivers was executed anew, or is a queue runner's.
const (
	daemonJob = iota
	receiver
	runner
	delivery
	otherJob
)

func (j job) kind() int {
	has := func(prefix string) bool {
		return slices.ContainsFunc(j.args, func(a string) bool { return strings.HasPrefix(a, prefix) })
	}
	switch {
	case has("-bd") && j.listens:
		return daemonJob
	case has("-bd"):
		return receiver
	case j.message != "":
		return delivery
	case has("-q"):
		return runner
	}
	return otherJob
}

// muster looks at each process.
func muster(ctx context.Context, f agents.Facts) (crew, int, error) {
	ps, err := process.Find(f.Process)
	if err != nil || len(ps) == 0 {
		return crew{}, 0, err
	}
	// The drain's own time may be up.
	listening, err := socket.Listening(context.WithoutCancel(ctx))
	if err != nil {
		return crew{}, 0, err
	}
	c := crew{deliveries: map[string]bool{}}
	for _, p := range ps {
		j, err := lookAt(p, f)
		if err != nil {
			return crew{}, 0, err
		}
		j.listens = slices.ContainsFunc(j.sockets, func(inode uint32) bool { return listening[inode] > 0 })
		switch j.kind() {
		case daemonJob, runner:
			c.starters = append(c.starters, p)
		case receiver:
			c.receivers = append(c.receivers, p)
		case delivery:
			c.deliveries[j.message] = true
		}
	}
	return c, len(ps), nil
}

// lookAt reads proc(5) cmdline and fd. Of a process that is gone there is nothing
// to see.
func lookAt(p process.Process, f agents.Facts) (job, error) {
	dir := fmt.Sprintf("/proc/%d", p.PID)
	data, err := os.ReadFile(dir + "/cmdline")
	if gone(err) || err == nil && len(data) == 0 {
		return job{}, nil
	}
	if err != nil {
		return job{}, fmt.Errorf("look at %s: %w", p, err)
	}
	j := job{args: strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")[1:]}
	own, err := socket.Of(p)
	if err != nil {
		return job{}, err
	}
	j.sockets = slices.Collect(maps.Keys(own))
	entries, err := os.ReadDir(dir + "/fd")
	if err != nil && !gone(err) {
		return job{}, fmt.Errorf("look at %s: %w", p, err)
	}
	for _, entry := range entries {
		target, err := os.Readlink(filepath.Join(dir, "fd", entry.Name()))
		if err == nil && isData(target, f) {
			j.message = target
		}
	}
	return j, nil
}

// isData knows the data file of a message by its name.
func isData(path string, f agents.Facts) bool {
	rest, ok := strings.CutPrefix(path, filepath.Join(f.Process.Dir, "input")+"/")
	return ok && strings.HasSuffix(rest, "-D")
}

func gone(err error) bool { return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) }

// Drain ends the daemon, which leaves what it has begun to its children, and the
// queue runners, which leave the delivery that they wait for. It returns when the
// last of the others has ended: somebody who is connected may still hand in a
// message, which Exim delivers at once.
func (e *Exim) Drain(ctx context.Context, f agents.Facts, tell func(left int)) (int, error) {
	const pause = 50 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	told := map[process.Life]bool{}
	for {
		c, all, err := muster(ctx, f)
		if err != nil || all == 0 {
			return 0, err
		}
		for _, p := range c.starters {
			if told[p.Life()] {
				continue
			}
			told[p.Life()] = true
			if err := p.Signal(syscall.SIGTERM); err != nil {
				return len(c.deliveries), err
			}
		}
		tell(len(c.deliveries))
		select {
		case <-ctx.Done():
			return len(c.deliveries), sendAway(c.receivers)
		case <-tick.C:
		}
	}
}

// sendAway has Exim say the last words to who is left, and waits a moment for
// those that do not read a message's text.
func sendAway(receivers []process.Process) error {
	const moment = 300 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), moment)
	defer cancel()
	var errs []error
	for _, p := range receivers {
		errs = append(errs, p.Signal(syscall.SIGTERM))
	}
	for _, p := range receivers {
		if p.Wait(ctx) != nil {
			break // no time left
		}
	}
	return errors.Join(errs...)
}

// Dismiss has Exim itself part from clients that have been silent for a while,
// which it does in the protocol's way, within TLS as well, when a process that
// waits for a command gets SIGTERM. Nothing shows whether a client that has not
// begun to send a message's text has named sender and recipients of one, so that
// the while is longer than usual.
func (e *Exim) Dismiss(ctx context.Context, f agents.Facts, idle []vip.Session) (int, error) {
	const silent = 5 * time.Second
	c, _, err := muster(ctx, f)
	if err != nil {
		return 0, err
	}
	guests, err := farewell.Find(c.receivers, idle)
	if err != nil {
		return 0, err
	}
	ended := 0
	for _, g := range guests {
		if g.Idle() < silent {
			continue
		}
		j, err := lookAt(g.Host, f)
		if err != nil {
			return ended, err
		}
		if j.message != "" || len(j.args) == 0 || e.dismissed[g.Host.Life()] {
			continue
		}
		if err := g.Host.Signal(syscall.SIGTERM); err != nil {
			return ended, err
		}
		if e.dismissed == nil {
			e.dismissed = map[process.Life]bool{}
		}
		e.dismissed[g.Host.Life()] = true
		ended++
	}
	return ended, nil
}
