// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrAlive says that processes outlived everything that was tried.
var ErrAlive = errors.New("processes are still alive")

// End ends what find reports: SIGTERM, up to grace for them to leave, then
// SIGKILL, and again for whatever find reports next, since a dying parent may
// have left children. It returns nil once find reports nothing, how many had to
// be killed, and an error that wraps [ErrAlive] when ctx ends first.
func End(ctx context.Context, grace time.Duration, find func() ([]Process, error)) (killed int, err error) {
	termUntil := time.Now().Add(grace)
	for {
		ps, err := find()
		if err != nil {
			return killed, err
		}
		if len(ps) == 0 {
			return killed, nil
		}
		if ctx.Err() != nil {
			return killed, fmt.Errorf("%w: %s", ErrAlive, Names(ps))
		}
		sig, wait := unix.SIGKILL, time.Second
		if left := time.Until(termUntil); left > 0 {
			sig, wait = unix.SIGTERM, left
		} else {
			killed += len(ps)
		}
		for _, p := range ps {
			if err := p.signal(sig); err != nil {
				return killed, err
			}
		}
		waitCtx, cancel := context.WithTimeout(ctx, wait)
		for _, p := range ps {
			// A wait that ran out shows in what find reports next.
			_ = p.Wait(waitCtx)
		}
		cancel()
	}
}

// signal sends through a pidfd, so that the signal cannot hit a stranger that
// got the same PID. A process that is gone needs none.
func (p Process) signal(sig unix.Signal) error {
	fd, err := p.Open()
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = unix.PidfdSendSignal(fd, sig, nil, 0)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal %s: %w", p, err)
	}
	return nil
}

// Wait returns nil when the process has ended, or the error of ctx.
func (p Process) Wait(ctx context.Context) error {
	fd, err := p.Open()
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for {
		// A pidfd turns readable when its process ends: pidfd_open(2). The
		// slice bounds how late an ended context is seen.
		const slice = 50 * time.Millisecond
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(slice/time.Millisecond))
		switch {
		case n > 0:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("wait for %s: %w", p, err)
		}
	}
}

// Open returns a pidfd of this very process, which the caller closes, or ErrGone:
// pidfd_open(2).
func (p Process) Open() (int, error) {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return -1, ErrGone
	}
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", p, err)
	}
	// The PID may have been taken over before it was opened.
	now, err := read(fmt.Sprintf("/proc/%d", p.PID), p.PID)
	if err != nil || now.Start != p.Start {
		unix.Close(fd)
		return -1, ErrGone
	}
	return fd, nil
}

// Signal sends sig to one process, if it still lives.
func (p Process) Signal(sig os.Signal) error {
	s, ok := sig.(unix.Signal)
	if !ok {
		return fmt.Errorf("signal %s: %v is no signal of this system", p, sig)
	}
	return p.signal(s)
}
