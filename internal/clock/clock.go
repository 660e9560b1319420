// SPDX-License-Identifier: Apache-2.0

// Package clock is the time that leases are counted in: CLOCK_BOOTTIME, which
// nobody can set and which runs on while the machine is suspended
// (clock_gettime(2)).
//
// It must never be used for what people read, and its times never leave the
// machine: they are of this boot alone.
package clock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Time is an instant: how long ago the machine was booted, suspension included.
type Time time.Duration

// Add is the instant d later.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Sub is the time from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// Before says whether t is earlier than u.
func (t Time) Before(u Time) bool { return t < u }

// Clock tells the time and waits for it.
type Clock interface {
	Now() Time
	// Wait returns nil when the instant has come, or the context's error if that ends first.
	Wait(ctx context.Context, until Time) error
}

// Boot is the machine's CLOCK_BOOTTIME. Its zero value is ready for use.
type Boot struct{}

// Now is the time since boot.
func (Boot) Now() Time {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// Every kernel that Go runs on has it; a wrong time would be two owners.
		panic(fmt.Sprintf("read CLOCK_BOOTTIME: %v", err))
	}
	return Time(ts.Nano())
}

// Wait uses a timerfd (timerfd_create(2)): Go's timers stand still during
// suspend, and would let a lease look alive after it.
func (b Boot) Wait(ctx context.Context, until Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !b.Now().Before(until) {
		return nil
	}
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("make a timer: %w", err)
	}
	timer := os.NewFile(uintptr(fd), "timerfd")
	defer timer.Close()
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(until))}
	if err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME, &spec, nil); err != nil {
		return fmt.Errorf("set a timer: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { timer.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var expirations [8]byte
	if _, err := timer.Read(expirations[:]); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return ctx.Err()
		}
		return fmt.Errorf("wait for a timer: %w", err)
	}
	return nil
}
