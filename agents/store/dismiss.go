// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/process"
	"github.com/mailha/mailha/agents/socket"
	"github.com/mailha/mailha/vip"
)

// Dismiss ends idle sessions: the process that serves one gets SIGTERM, says "* BYE"
// (POP3: "-ERR"), and ends. Whatever it was doing would be cut by that, an upload
// half way included. So nobody is dismissed while a message is being written, nor
// who may still delete messages: POP3 does that at the session's end.
func (d *Dovecot) Dismiss(ctx context.Context, f agents.Facts, idle []vip.Session) (int, error) {
	h, err := visit(ctx, f)
	if err != nil {
		return 0, err
	}
	ended := 0
	var errs []error
	for _, s := range idle {
		p, ok := h.host(s)
		if !ok || s.Idle() < patienceWith(p) {
			continue
		}
		parted, err := d.part(p)
		if parted {
			ended++
			d.sent(h.hosts[s.Inode][0])
		}
		errs = append(errs, err)
	}
	n, err := d.dismissCrowds(ctx, f, h, idle)
	return ended + n, errors.Join(append(errs, err)...)
}

// patienceWith is how long the client of a process must have been silent.
func patienceWith(p process.Process) time.Duration {
	const pop3Patience = 10 * time.Second // with a session that ends early go its deletions
	if p.Name == pop3 {
		return pop3Patience
	}
	return 0 // whom the lifecycle takes for idle
}

// sent remembers a process that was asked to end, and the login process that has yet to
// pass its last word on.
func (d *Dovecot) sent(p process.Process) {
	if d.dismissed == nil {
		d.dismissed = map[process.Life]bool{}
	}
	d.dismissed[p.Life()] = true
}

// part ends a session politely, and says whether it did: not if a message is being
// written, nor a second time while the first one takes its time.
func (d *Dovecot) part(p process.Process) (bool, error) {
	if d.dismissed[p.Life()] {
		return false, nil
	}
	if serves(p) {
		if busy, err := writes(p); busy || err != nil {
			return false, err
		}
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return false, err
	}
	d.sent(p)
	return true, nil
}

// writes says whether a process is writing a message: it has a file open for
// writing that is no index. A storage file of mdbox stays open for later, and is
// locked while it is written.
func writes(p process.Process) (bool, error) {
	dir := fmt.Sprintf("/proc/%d/", p.PID)
	entries, err := os.ReadDir(dir + "fd")
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look what %s writes: %w", p, err)
	}
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		target, err := os.Readlink(dir + "fd/" + e.Name())
		if err != nil || !mayBeMessage(target) {
			return false
		}
		info, err := os.ReadFile(dir + "fdinfo/" + e.Name())
		return err == nil && isWritten(string(info), filepath.Base(target))
	}), nil
}

func mayBeMessage(path string) bool {
	return strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "/dev/") && !strings.HasPrefix(filepath.Base(path), "dovecot")
}

// isWritten reads proc(5) fdinfo.
func isWritten(info, name string) bool {
	writable, locked := false, false
	for line := range strings.Lines(info) {
		key, value, _ := strings.Cut(line, ":")
		switch key {
		case "flags":
			const accessMode = 0o3
			flags, err := strconv.ParseUint(strings.TrimSpace(value), 8, 64)
			writable = err == nil && int(flags)&accessMode != os.O_RDONLY
		case "lock":
			locked = true
		}
	}
	return writable && (locked || !isStorage(name))
}

// isStorage knows the files in which mdbox has its messages: "m.4711".
func isStorage(name string) bool {
	number, ok := strings.CutPrefix(name, "m.")
	_, err := strconv.ParseUint(number, 10, 64)
	return ok && err == nil
}

// ShowOut has all sessions end at once that are served by processes of their own. When
// the unit is stopped, the processes that speak TLS end as well, and some before
// they could pass a last word on: so these have to be done with their clients as well.
func (d *Dovecot) ShowOut(ctx context.Context, f agents.Facts) error {
	find := func() ([]process.Process, error) {
		ps, err := process.Find(f.Process)
		return slices.DeleteFunc(ps, func(p process.Process) bool { return p.Name != imap && p.Name != pop3 }), err
	}
	ps, err := find()
	if err != nil {
		return err
	}
	h, err := visit(ctx, f)
	errs := []error{err}
	for _, p := range ps {
		errs = append(errs, p.Signal(syscall.SIGTERM))
	}
	over := func() (bool, error) {
		ps, err := find()
		if err != nil || len(ps) > 0 || h == nil {
			return len(ps) == 0, err
		}
		tcp, err := socket.AllTCP(ctx)
		return !slices.ContainsFunc(tcp, h.passesOn), err
	}
	const pause = 20 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	ended, err := over()
	for !ended && err == nil && ctx.Err() == nil {
		<-tick.C
		ended, err = over()
	}
	if ctx.Err() == nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// CutsCleanly is true: a process that is asked to end rolls back what it has not
// finished, and MTAs keep what was not confirmed.
func (d *Dovecot) CutsCleanly() bool { return true }
