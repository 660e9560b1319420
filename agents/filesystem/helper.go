// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/process"
)

// helpers run programs for what may block in the kernel without an end: a process that
// waits there can't be killed, and one that shares its fate could not even exit.
type helpers struct{ sign string }

// newHelpers gives all processes of an instance a sign to find them by.
func newHelpers(instance string) helpers { return helpers{"MAILHA_FILESYSTEM=" + instance} }

// errStuck says that a program did not end even when it was killed.
var errStuck = errors.New("hangs in the kernel and cannot be killed")

// errSaid is what a program printed before it failed.
type errSaid struct {
	name, text string
	code       int
}

func (e *errSaid) Error() string {
	if e.text == "" {
		return fmt.Sprintf("%s failed with exit code %d", e.name, e.code)
	}
	return e.text
}

// run runs a program until ctx ends, and then kills it. It returns what the program
// printed, and no later than a second after ctx.
func (h helpers) run(ctx context.Context, stdin []byte, name string, args ...string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: the program %s is missing", agents.ErrInstalled, name)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", h.sign}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if stdin != nil {
		cmd.Stdin = bytes.NewReader(stdin)
	}
	// Whoever kills this call must not leave a mount under way that nobody waits for.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, done := make(chan error, 1), make(chan error, 1)
	go func() {
		// The signal comes when this thread ends, so it must not serve anybody else.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			done <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return "", fmt.Errorf("run %s: %w", name, err)
	}
	select {
	case err = <-done:
	case <-ctx.Done():
		_ = cmd.Process.Kill()
		select {
		case <-done:
			return "", fmt.Errorf("%s did not end in time", name)
		case <-time.After(time.Second):
			return "", fmt.Errorf("%s %w", name, errStuck)
		}
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		said := strings.Join(strings.FieldsFunc(errs.String(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
		return out.String(), &errSaid{name: name, text: said, code: exit.ExitCode()}
	}
	if err != nil {
		return "", fmt.Errorf("run %s: %w", name, err)
	}
	return out.String(), nil
}

// left are programs of earlier calls that still run: killed half way, or stuck.
func (h helpers) left(names ...string) ([]process.Process, error) {
	m := process.Match{Environ: h.sign}
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if path, err = filepath.EvalSymlinks(path); err == nil {
			m.Programs = append(m.Programs, path)
		}
	}
	found, err := process.Find(m)
	return slices.DeleteFunc(found, func(p process.Process) bool { return !byRoot(p.PID) }), err
}

// byRoot says whether root has started a process: everybody can set a variable.
func byRoot(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false // it has ended
	}
	_, uids, _ := strings.Cut(string(data), "\nUid:")
	uid, _, _ := strings.Cut(strings.TrimSpace(uids), "\t") // the real one: mount(8) is setuid
	return uid == "0"
}
