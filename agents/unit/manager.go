// SPDX-License-Identifier: Apache-2.0

package unit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"
)

const (
	firstPause   = 5 * time.Millisecond // before trying a lost bus again, doubled each time
	longestPause = 500 * time.Millisecond

	// A restart of dbus-daemon takes 40 ms, a daemon-reexec 0.2 s and more on a node
	// with many units. Calls bridge that; whoever asks has better things to do than to
	// wait for a bus that is really gone.
	busPatience = 2 * time.Second

	// Where cgroups don't tell when they got empty, systemd doesn't wait for all
	// processes that it has sent a signal to. They get this long to die.
	leftoverGrace = time.Second
)

var errClosed = errors.New("manager is closed")

// Manager talks to one systemd. It connects when first used, and again after the
// connection was lost. Its methods may be called from several goroutines.
//
// Names of units are full ones ("postfix@-.service"); a name without the suffix of a
// kind means a service. Each method ends when its ctx does.
type Manager struct {
	dial  dialFunc
	spare dialFunc // where systemd is asked while no bus answers; nil for nowhere
	log   *slog.Logger

	lock   chan struct{} // held while conn and closed are used; no Mutex, for waiting ends with ctx
	conn   *conn
	closed bool
}

// New returns a Manager for the bus at address, a D-Bus address such as
// "unix:path=/run/dbus/system_bus_socket". An empty address is the system bus:
// DBUS_SYSTEM_BUS_ADDRESS if set, else that same socket, or systemd's own while no bus
// answers there. A nil log discards.
// Nothing is dialled yet, and a bad address is an error of the first call.
func New(address string, log *slog.Logger) *Manager {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	m := &Manager{dial: dialer(address), log: log, lock: make(chan struct{}, 1)}
	if address == "" && os.Getenv("DBUS_SYSTEM_BUS_ADDRESS") == "" {
		m.spare = dialer("unix:path=" + privateSocket)
	}
	return m
}

// Close ends the connection for good: calls under way and later ones fail with
// [ErrUnknown]. It waits for the end of an attempt to connect.
func (m *Manager) Close() error {
	m.lock <- struct{}{}
	defer func() { <-m.lock }()
	m.closed = true
	if m.conn == nil {
		return nil
	}
	return m.conn.close()
}

// connect returns the connection, a new one if there is none that works.
func (m *Manager) connect(ctx context.Context) (*conn, error) {
	select {
	case m.lock <- struct{}{}:
		defer func() { <-m.lock }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if m.closed {
		return nil, errClosed
	}
	if m.conn != nil {
		select {
		case <-m.conn.lost():
			m.conn = nil
		default:
			return m.conn, nil
		}
	}
	c, err := m.login(ctx)
	if err != nil {
		return nil, err
	}
	m.conn = c
	return c, nil
}

// login connects to the bus or, where there is none that answers, to systemd itself.
func (m *Manager) login(ctx context.Context) (*conn, error) {
	if m.spare == nil {
		return connect(ctx, m.dial, false)
	}
	brief, cancel := context.WithTimeout(ctx, busPatience/2)
	defer cancel()
	c, err := connect(brief, m.dial, false)
	if err == nil || ctx.Err() != nil {
		return c, err
	}
	c, spareErr := connect(ctx, m.spare, true)
	if spareErr != nil {
		return nil, errors.Join(err, spareErr)
	}
	m.log.Info("asking systemd on its own socket", "reason", err)
	return c, nil
}

// repeat does something that may be done twice. It tries again for busPatience while no
// answer comes, and then returns ErrUnknown. An error that is an answer is returned as it
// is.
func (m *Manager) repeat(ctx context.Context, do func(*conn) error) error {
	since := time.Now()
	for wait := firstPause; ; wait = min(2*wait, longestPause) {
		c, err := m.connect(ctx)
		if err == nil {
			err = do(c)
		}
		switch {
		case err == nil || answered(err):
			return err
		case ctx.Err() != nil || errors.Is(err, errClosed) || time.Since(since) > busPatience:
			return unanswered(ctx, err)
		}
		m.log.Debug("no answer from systemd, trying again", "error", err)
		if pause(ctx, wait) != nil {
			return unanswered(ctx, err)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// State returns what the unit is now. A unit that systemd doesn't know is no error:
// its Load is "not-found". Errors: [ErrUnknown], [ErrNotFound] for a name that no unit can
// have, and what systemd or the bus refuses, such as access. With an error, only the
// state's Name is set.
func (m *Manager) State(ctx context.Context, name string) (State, error) {
	name, err := fullName(name)
	if err != nil {
		return State{Name: name}, err
	}
	var s State
	err = m.repeat(ctx, func(c *conn) (err error) {
		s, _, err = c.state(ctx, name)
		return err
	})
	if err != nil {
		return State{Name: name}, fmt.Errorf("state of unit %s: %w", name, err)
	}
	return s, nil
}

// Processes returns the process numbers, in systemd's PID namespace and in ascending
// order, of all that lives in the unit's control group, whether the unit is active or not.
func (m *Manager) Processes(ctx context.Context, name string) ([]int, error) {
	name, err := fullName(name)
	if err != nil {
		return nil, err
	}
	var pids []int
	err = m.repeat(ctx, func(c *conn) (err error) {
		pids, err = c.processes(ctx, name)
		return err
	})
	// systemd doesn't unload a unit that has processes, so one that isn't loaded has none.
	if err = named(err); err != nil && !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("processes of unit %s: %w", name, err)
	}
	return pids, nil
}

// Start starts the unit and returns when it is active. A unit that is active
// already, with no job queued, is left alone.
// It clears systemd's count of failed starts first: how often to try is up to the
// cluster, and a start limit with StartLimitAction= could even reboot the node.
//
// A service of Type=simple is active once it was forked. Whether it lives on and answers
// is for the caller to see. A oneshot without RemainAfterExit= is never active and so
// always an error.
//
// Errors: [ErrNotFound], [ErrMasked], [*JobError], [ErrUnknown]. The last comes, too, when
// ctx ends first: systemd goes on with the job then.
func (m *Manager) Start(ctx context.Context, name string) error {
	before, err := m.State(ctx, name)
	switch {
	case err != nil:
		return err
	case before.Running() == Yes && before.Job == "":
		return nil
	}
	if err := m.ResetFailed(ctx, before.Name); err != nil {
		return err
	}
	return m.do(ctx, &job{op: "start", method: "StartUnit", before: before, reached: isRunning})
}

// Stop stops the unit and returns when it is inactive or failed, nothing is queued for it,
// and its control group is empty. It works for a unit that is masked or whose file is gone,
// and one that systemd doesn't know is stopped.
//
// Errors: [ErrLeftovers], [*JobError] (with Result "canceled" when somebody else started
// the unit meanwhile), [ErrUnknown], and [ErrNotFound] for a name that no unit can have.
// ErrUnknown comes, too, when ctx ends first: systemd goes on with the job then, and Kill
// may end it.
func (m *Manager) Stop(ctx context.Context, name string) error {
	before, err := m.State(ctx, name)
	if err != nil {
		return err
	}
	if !isStopped(before) {
		err := m.do(ctx, &job{op: "stop", method: "StopUnit", before: before, reached: isStopped})
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return m.empty(ctx, before.Name)
}

// Restart stops the unit if it runs, starts it, and returns when it is active.
// Errors are those of Start.
func (m *Manager) Restart(ctx context.Context, name string) error {
	before, err := m.State(ctx, name)
	if err != nil {
		return err
	}
	if err := m.ResetFailed(ctx, before.Name); err != nil {
		return err
	}
	return m.do(ctx, &job{op: "restart", method: "RestartUnit", before: before, reached: func(s State) bool {
		return isRunning(s) && s.InvocationID != before.InvocationID
	}})
}

// Reload makes the unit read its configuration again and returns when that is done. A unit
// that isn't active, or can't reload, is an error. Errors are those of Start.
func (m *Manager) Reload(ctx context.Context, name string) error {
	before, err := m.State(ctx, name)
	if err != nil {
		return err
	}
	return m.do(ctx, &job{op: "reload", method: "ReloadUnit", before: before, reached: isRunning, silent: true})
}

func isRunning(s State) bool { return s.Running() == Yes }
func isStopped(s State) bool { return s.Stopped() == Yes && s.Job == "" }

// do runs a job and believes its result only when the unit's state agrees.
func (m *Manager) do(ctx context.Context, j *job) error {
	result, err := m.run(ctx, j)
	if err != nil {
		return err
	}
	after, err := m.State(ctx, j.before.Name)
	if err != nil {
		return fmt.Errorf("%s job ended as %q, but: %w", j.op, result, err)
	}
	if result != "done" || !j.reached(after) {
		return &JobError{Unit: after.Name, Op: j.op, Result: result, State: after}
	}
	return nil
}

// empty makes sure that no process is left.
func (m *Manager) empty(ctx context.Context, name string) error {
	since := time.Now()
	for wait := firstPause; ; wait = min(2*wait, longestPause/5) {
		pids, err := m.Processes(ctx, name)
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			return nil
		}
		if time.Since(since) > leftoverGrace || pause(ctx, wait) != nil {
			return fmt.Errorf("unit %s is stopped: %w: %v", name, ErrLeftovers, pids)
		}
	}
}

// Kill sends sig to all processes of the unit, also while a stop job waits for
// them. That there are none is no error. If the answer is lost, sig is sent again.
func (m *Manager) Kill(ctx context.Context, name string, sig syscall.Signal) error {
	name, err := fullName(name)
	if err != nil {
		return err
	}
	err = m.repeat(ctx, func(c *conn) error {
		return c.manage(ctx, "KillUnit", []any{name, "all", int32(sig)})
	})
	if errorName(err) == noSuchUnit || errorName(err) == noSuchProcess {
		return nil
	}
	if err != nil {
		return fmt.Errorf("kill unit %s with %v: %w", name, sig, err)
	}
	return nil
}

// ResetFailed makes a failed unit inactive and clears systemd's count of its starts.
func (m *Manager) ResetFailed(ctx context.Context, name string) error {
	name, err := fullName(name)
	if err != nil {
		return err
	}
	err = m.repeat(ctx, func(c *conn) error {
		return c.manage(ctx, "ResetFailedUnit", []any{name})
	})
	if errorName(err) == noSuchUnit {
		return nil // not loaded, so not failed
	}
	if err != nil {
		return fmt.Errorf("reset failed unit %s: %w", name, err)
	}
	return nil
}
