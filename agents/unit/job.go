// SPDX-License-Identifier: Apache-2.0

package unit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"
)

// lookEvery bounds how long a lost signal goes unnoticed.
const lookEvery = 5 * time.Second

var (
	errLost     = errors.New("connection to the bus lost")
	errNewOwner = errors.New("systemd joined the bus again")
)

// The signals that a job is waited for with.
const (
	jobRule = "type='signal',sender='org.freedesktop.systemd1',path='/org/freedesktop/systemd1'," +
		"interface='org.freedesktop.systemd1.Manager',member='JobRemoved'"
	ownerRule = "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus'," +
		"member='NameOwnerChanged',arg0='org.freedesktop.systemd1'"
)

// job is one change that was asked of a unit, followed to its end over as many
// connections as it takes.
type job struct {
	op      string           // start, stop, restart, reload
	method  string           // of systemd's manager
	before  State            // the unit when the change was wanted
	reached func(State) bool // whether the unit is where the job should bring it
	silent  bool             // a job that leaves no trace in the state

	path    dbus.ObjectPath // of systemd's job, "" until it is known
	asked   bool            // systemd may have got the request
	refused bool            // systemd said no to the request
	seen    State           // the unit when last looked at
}

// run asks for the job and returns its result, JobRemoved's word or ResultLost.
func (m *Manager) run(ctx context.Context, j *job) (string, error) {
	j.seen = j.before
	for wait := firstPause; ; wait = min(2*wait, longestPause) {
		result, err := m.follow(ctx, j)
		switch {
		case err == nil:
			return result, nil
		case j.refused:
			return "", fmt.Errorf("unit %s: %s: %w", j.before.Name, j.op, named(err))
		case ctx.Err() != nil || errors.Is(err, errClosed):
			return "", j.unknown(unanswered(ctx, err))
		}
		m.log.Info("bus lost while waiting for a job", "unit", j.before.Name, "job", j.op, "error", err)
		if pause(ctx, wait) != nil {
			return "", j.unknown(unanswered(ctx, err))
		}
	}
}

// unknown says how far the job had come when it had to be left.
func (j *job) unknown(err error) error {
	how := "was not asked for"
	if j.path != "" {
		how = "has not ended"
	} else if j.asked {
		how = "may have been asked for"
	}
	return fmt.Errorf("unit %s: %s job %s, unit was last seen %s: %w", j.before.Name, j.op, how, j.seen, err)
}

// follow carries the job on over one connection.
func (m *Manager) follow(ctx context.Context, j *job) (string, error) {
	c, err := m.connect(ctx)
	if err != nil {
		return "", err
	}
	// Listening comes before asking and before looking, so that no end is missed.
	l, err := c.listen(ctx, j.concerns, jobRule, ownerRule)
	if err != nil {
		return "", err
	}
	defer l.close()
	for {
		if !j.asked {
			err = j.ask(ctx, c)
		} else if gone, lookErr := j.look(ctx, c); gone {
			return j.ended(l), nil
		} else {
			err = lookErr
		}
		if err != nil {
			return "", err
		}
		if !j.asked {
			continue
		}
		j.unblock(ctx, c)
		if result, err := j.wait(ctx, l); result != "" || err != nil {
			return result, err
		}
	}
}

// ask queues the job.
func (j *job) ask(ctx context.Context, c *conn) error {
	j.asked = true
	err := c.manage(ctx, j.method, []any{j.before.Name, "replace"}, &j.path)
	j.refused = err != nil && answered(err)
	return err
}

// look finds out after a loss whether the job is still there. If the request itself was
// lost on its way, it sets asked to false.
func (j *job) look(ctx context.Context, c *conn) (gone bool, err error) {
	s, path, err := c.state(ctx, j.before.Name)
	if err != nil {
		return false, err
	}
	j.seen = s
	switch {
	case path != "" && path == j.path:
		return false, nil
	case path != "" && j.path == "" && j.fits(s.Job):
		j.path = path
		return false, nil
	case path == "" && j.path == "" && !j.reached(s) && j.untouched(s):
		j.asked = false
		return false, nil
	}
	return true, nil
}

// fits says whether a queued job can be the one whose number was lost. Of a restart,
// only the start is left once the stop is done.
func (j *job) fits(kind string) bool {
	return kind == j.op || j.op == "restart" && kind == "start"
}

// untouched says that nothing was started or stopped since. systemd forgets the
// invocation of a unit that it unloads.
func (j *job) untouched(s State) bool {
	return s.Stopped() == j.before.Stopped() && (s.InvocationID == j.before.InvocationID || s.InvocationID == "")
}

// ended returns the result of a job that is gone: the signal's if it came through, else
// what the state proves.
func (j *job) ended(l *listener) string {
	if result := j.told(l); result != "" {
		return result
	}
	if j.reached(j.seen) && !j.silent {
		return "done"
	}
	return ResultLost
}

// told returns the result if a signal with it is here already.
func (j *job) told(l *listener) string {
	for {
		select {
		case s := <-l.ch:
			if result := j.result(s); result != "" {
				return result
			}
		default:
			return ""
		}
	}
}

// wait waits for the job's end. No result and no error mean that it is time to look.
func (j *job) wait(ctx context.Context, l *listener) (string, error) {
	look := time.NewTimer(lookEvery)
	defer look.Stop()
	for {
		select {
		case s := <-l.ch:
			if result := j.result(s); result != "" {
				return result, nil
			}
			if newOwner(s) {
				return "", errNewOwner
			}
		case <-look.C:
			return "", nil
		case <-l.conn.lost():
			if result := j.told(l); result != "" {
				return result, nil
			}
			return "", errLost
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// concerns picks the signals that may be about the job, whose number isn't known yet
// when the first of them come.
func (j *job) concerns(s *dbus.Signal) bool {
	_, unit, _ := jobRemoved(s)
	return unit == j.before.Name || newOwner(s)
}

func (j *job) result(s *dbus.Signal) string {
	path, _, result := jobRemoved(s)
	if path == "" || path != j.path {
		return ""
	}
	return result
}

// jobRemoved takes JobRemoved(u id, o job, s unit, s result) apart; what isn't there or
// is of another type is empty. (dbus.Store would make a string of a number.)
func jobRemoved(s *dbus.Signal) (path dbus.ObjectPath, unit, result string) {
	if s.Name != managerFace+".JobRemoved" || len(s.Body) != 4 {
		return "", "", ""
	}
	path, _ = s.Body[1].(dbus.ObjectPath)
	unit, _ = s.Body[2].(string)
	result, _ = s.Body[3].(string)
	return path, unit, result
}

// newOwner says that systemd has just got its name on the bus: it did a daemon-reexec, or
// the bus was restarted. It may have forgotten who wants signals.
func newOwner(s *dbus.Signal) bool {
	if s.Name != "org.freedesktop.DBus.NameOwnerChanged" || len(s.Body) != 3 {
		return false
	}
	owner, _ := s.Body[2].(string)
	return s.Body[0] == systemdName && owner != ""
}
