// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/agents/process"
)

// force is what a stop does to those who keep the device busy, step by step: ask them
// to end, kill them, and keep others from coming.
type force struct {
	a         *Agent
	killAt    time.Time
	asked     map[int]uint64 // who got SIGTERM, by PID with the start time
	ended     int            // signals that were sent
	killed    bool
	afterKill int // rounds
}

func (a *Agent) newForce(ctx context.Context) *force {
	const grace = 5 * time.Second
	deadline, _ := ctx.Deadline()
	return &force{a: a, killAt: time.Now().Add(min(grace, time.Until(deadline)/3)), asked: map[int]uint64{}}
}

// lazily says that the unmount has to come before the end of the last user: somebody
// comes back faster than we can unmount. The proof that the device is free is the same.
func (f *force) lazily() bool { return f.afterKill > 1 }

// apply does the next step and waits for it to help, or a moment.
func (f *force) apply(ctx context.Context, t target, in marks, spaces []space) error {
	const moment = 50 * time.Millisecond // what the kernel closes late, nobody tells
	users, err := t.users(ctx, in)
	if err != nil {
		return err
	}
	for _, sp := range spaces {
		for _, p := range sp.users {
			if !slices.ContainsFunc(users, func(u user) bool { return u.PID == p.PID }) && f.killed {
				users = append(users, user{p, "mount namespace with the file system in it"})
			}
		}
	}
	if !f.a.KillUsers || len(users) == 0 {
		if time.Now().After(f.killAt) {
			f.killed = true
		}
		pause(ctx, moment)
		return nil
	}
	kill := time.Now().After(f.killAt)
	sig := unix.SIGTERM
	if kill {
		sig, f.killed = unix.SIGKILL, true
		f.afterKill++
	}
	var sent []process.Process
	for _, u := range users {
		if spared(u.PID) {
			return fmt.Errorf("%s is used by %s, which called this stop; leave the file system first", t.path, u)
		}
		if !kill && f.asked[u.PID] == u.Start {
			sent = append(sent, u.Process)
			continue
		}
		f.asked[u.PID] = u.Start
		if err := u.Signal(sig); err != nil {
			return err
		}
		f.tell(u, sig)
		sent = append(sent, u.Process)
	}
	wait := time.Until(f.killAt)
	if kill {
		wait = time.Second
	}
	brief, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for _, p := range sent {
		_ = p.Wait(brief) // who is still there shows in the next round
	}
	return nil
}

// tell keeps the log short where somebody comes back all the time.
func (f *force) tell(u user, sig unix.Signal) {
	const most = 20
	f.ended++
	switch {
	case f.ended < most:
		f.a.log.Warn("ended a process that used the file system", "process", u.Process.String(), "signal", unix.SignalName(sig), "used", u.how)
	case f.ended == most:
		f.a.log.Warn("more processes used the file system, or came back; they are ended as well")
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
