// SPDX-License-Identifier: Apache-2.0

package unit

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/godbus/dbus/v5"
)

// Errors that the methods of Manager wrap.
var (
	// ErrNotFound: systemd has no such unit, or no unit can have such a name.
	ErrNotFound = errors.New("no such unit")
	// ErrMasked: the unit is masked, so it can't be started; "systemctl unmask" lifts that.
	ErrMasked = errors.New("unit is masked")
	// ErrUnknown: the bus can't be reached, or no answer came in time. It says nothing
	// about the unit; what was asked for may have been done or not.
	ErrUnknown = errors.New("no answer from systemd")
	// ErrLeftovers: the unit is stopped, but processes are left in its control group.
	ErrLeftovers = errors.New("processes left behind")
)

// ResultLost is the Result of a [JobError] for a job that ended while the bus was away.
const ResultLost = "lost"

// JobError says that a job has ended and the unit is not where it should be.
type JobError struct {
	Unit   string // the unit's name
	Op     string // start, stop, restart or reload
	Result string // done, failed, timeout, canceled, dependency, skipped ..., or ResultLost
	State  State  // the unit after the job
}

// Error names the unit, the job's result and the unit's state.
func (e *JobError) Error() string {
	return fmt.Sprintf("unit %s: %s job ended as %q, unit is %s; see journalctl -u %[1]s",
		e.Unit, e.Op, e.Result, e.State)
}

// Unwrap returns ErrUnknown for a lost result, else nothing.
func (e *JobError) Unwrap() error {
	if e.Result == ResultLost {
		return ErrUnknown
	}
	return nil
}

// answered tells an answer of systemd from a failure to get one. Whatever isn't
// clearly an answer is none, for then nothing is concluded from it.
func answered(err error) bool {
	name := errorName(err)
	if strings.HasPrefix(name, systemdName+".") || strings.HasPrefix(name, "System.Error.") {
		return true // System.Error.E... is an errno that sd-bus has no word for
	}
	switch strings.TrimPrefix(name, "org.freedesktop.DBus.Error.") {
	case "AccessDenied", "AuthFailed", "InteractiveAuthorizationRequired", "InvalidArgs", "IOError", "NotSupported",
		"UnknownInterface", "UnknownMethod", "UnknownObject", "UnknownProperty":
		return true
	}
	return false
}

// unanswered makes ErrUnknown of a failure to get an answer. That time is up shows in it,
// whatever broke because of that.
func unanswered(ctx context.Context, err error) error {
	if end := ctx.Err(); end != nil && !errors.Is(err, end) {
		return fmt.Errorf("%w: %w: %w", ErrUnknown, end, err)
	}
	return fmt.Errorf("%w: %w", ErrUnknown, err)
}

// named adds this package's word for it to systemd's error.
func named(err error) error {
	switch errorName(err) {
	case noSuchUnit:
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case unitMasked:
		return fmt.Errorf("%w: %w", ErrMasked, err)
	}
	return err
}

// The errors of systemd that something is made of here, sd-bus common errors.
const (
	noSuchUnit    = systemdName + ".NoSuchUnit"
	noSuchProcess = systemdName + ".NoSuchProcess"
	unitMasked    = systemdName + ".UnitMasked"
)

// errorName returns the D-Bus name of an error, "" for one that came from elsewhere.
func errorName(err error) string {
	var e dbus.Error
	if errors.As(err, &e) {
		return e.Name
	}
	return ""
}
