// SPDX-License-Identifier: Apache-2.0

package fence

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// Modes of the agent: how it goes wrong when it has to switch something off.
const (
	Works       = "works"
	Fails       = "fails"        // says that it could not, and did nothing
	Hangs       = "hangs"        // does nothing, never answers, and hears no signal
	Lies        = "lies"         // does nothing, and says that it is off, also as the status
	Contradicts = "contradicts"  // does nothing, says that it is off, and tells the true status
	AnswersLate = "answers-late" // does it, and says so when it is late
	ActsLate    = "acts-late"    // says that it is done, and does it when it is late

	startsLate = "starts-late" // what has been left to another process
)

// misbehave acts as the mode wants it.
func misbehave(ctx context.Context, socket string, options map[string]string, stdout io.Writer) (int, error) {
	mode, action := options["mode"], options["action"]
	cuts := action == Off || action == Reboot
	switch {
	case mode == "" || mode == Works:
	case mode == Lies && action == Status:
		return exitIsOff, nil
	case !cuts:
	case mode == Fails:
		return exitError, errors.New("Failed: Timed out waiting to power OFF")
	case mode == Hangs:
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		for {
			time.Sleep(time.Hour)
		}
	case mode == Lies, mode == Contradicts:
		return exitOK, nil
	case mode == AnswersLate:
		code, err := act(ctx, socket, options, stdout)
		return code, errors.Join(err, late(ctx, options))
	case mode == startsLate:
		if err := late(ctx, options); err != nil {
			return exitError, err
		}
	case mode == ActsLate:
		return exitOK, detach(socket, options)
	default:
		return exitError, fmt.Errorf("there is no mode %q", mode)
	}
	return act(ctx, socket, options, stdout)
}

// late waits as long as the options say.
func late(ctx context.Context, options map[string]string) error {
	seconds := 2.0
	if text := options["late"]; text != "" {
		var err error
		if seconds, err = strconv.ParseFloat(text, 64); err != nil {
			return fmt.Errorf("late: %w", err)
		}
	}
	select {
	case <-time.After(time.Duration(seconds * float64(time.Second))):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// detach has another process do it, as a device does that has said yes and takes its
// time: it is not of the agent's group any more.
func detach(socket string, options map[string]string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	fmt.Fprintf(w, "action=%s\nplug=%s\nsocket=%s\nmode=%s\nlate=%s\n", options["action"], options["plug"], socket, startsLate, options["late"])
	w.Close()
	cmd := exec.Command(self)
	cmd.Args[0] = "fence_lab"
	cmd.Stdin = r
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd.Start()
}
