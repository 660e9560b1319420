// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/agents"
)

// sight is what this node's own list of mounts shows of the device.
type sight struct {
	all       []mount
	owned     []mount // of the device, wherever
	elsewhere []mount // of the device, not on the directory
	there     *mount  // what one finds on the directory; nil: nothing is mounted there
	placed    bool    // it is the device
	covered   bool    // the device is there, below something else
}

// see reads the list of mounts, which asks no file system.
func (a *Agent) see(t target) (sight, error) {
	all, err := mounts("self")
	if err != nil {
		return sight{}, err
	}
	return sightOf(all, t), nil
}

func sightOf(all []mount, t target) sight {
	s := sight{all: all, owned: t.owned(all, "")}
	if m, ok := top(all, t.dir); ok {
		s.there = &m
		s.placed = t.owns(m, "")
	}
	for _, m := range s.owned {
		if m.point != t.dir {
			s.elsewhere = append(s.elsewhere, m)
		} else if !s.placed {
			s.covered = true
		}
	}
	return s
}

// Monitor looks whether the file system is mounted and works.
func (a *Agent) Monitor(ctx context.Context, depth agents.Depth) error {
	t, err := a.target(ctx)
	if err != nil {
		return err
	}
	if t.path == "" && len(t.numbers) == 0 {
		return fmt.Errorf("nothing says which device it is: %w", agents.ErrNotRunning)
	}
	s, err := a.see(t)
	if err != nil {
		return err
	}
	if !s.placed {
		return a.absent(ctx, t, s)
	}
	const patience = 2 * time.Second
	brief, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	state := bounded(brief, "the file system on "+t.dir, func() error { return a.well(s) })
	if state != nil && !errors.Is(state, agents.ErrDegraded) || depth < agents.DepthProtocol {
		return state
	}
	if err := a.probe(ctx, t, depth); err != nil {
		return err
	}
	if state == nil && strings.HasPrefix(s.there.kind, "ext") {
		return a.faultless(ctx, t)
	}
	return state
}

// faultless asks the superblock whether the kernel has come upon errors that it went
// on in spite of: errors=continue, which is the default of ext4(5).
func (a *Agent) faultless(ctx context.Context, t target) error {
	s, err := a.helpers.super(ctx, t.path)
	if err != nil || !s.faulty {
		return nil // the device may be gone under that name; what was written came back
	}
	return fmt.Errorf("%w: the kernel has noted errors in the file system on %s (see dmesg); the next start has it checked unless fsck=no", agents.ErrDegraded, t.dir)
}

// absent tells what is cleanly stopped from what only seems so.
func (a *Agent) absent(ctx context.Context, t target, s sight) error {
	switch {
	case s.covered:
		return fmt.Errorf("%s is mounted on %s, but %s was mounted over it", t.path, t.dir, s.there.source)
	case len(s.elsewhere) > 0:
		return fmt.Errorf("%s is mounted on %s instead of %s", t.path, s.elsewhere[0].point, t.dir)
	}
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := t.free(ctx)
	switch {
	case err == nil, errors.Is(err, errAbsent):
		return fmt.Errorf("%s is mounted nowhere: %w", t.path, agents.ErrNotRunning)
	case errors.Is(err, errBusy):
		return fmt.Errorf("%s is not mounted on %s, but %w; %s", t.path, t.dir, err, a.whoHas(ctx, t))
	}
	return err
}

// well looks at the mounted file system. It may hang with it.
func (a *Agent) well(s sight) error {
	m, ro := s.there, a.Options.readOnly()
	switch {
	case m.has("shutdown"):
		return fmt.Errorf("the kernel has shut the file system on %s down after an error: see dmesg", m.point)
	case !ro && (slices.Contains(m.options, "ro") || m.has("emergency_ro")):
		return fmt.Errorf("the file system on %s is mounted read-only", m.point)
	case !ro && slices.Contains(m.super, "ro"):
		return fmt.Errorf("the file system on %s is read-only; the kernel makes it so after an error: see dmesg", m.point)
	}
	var st unix.Stat_t
	if err := unix.Stat(m.point, &st); err != nil {
		return fmt.Errorf("the file system on %s does not work: %w", m.point, err)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(m.point, &fs); err != nil {
		return fmt.Errorf("the file system on %s does not work: %w", m.point, err)
	}
	return a.room(m.point, fs)
}

// room compares what is free for ordinary users with the least that has to be.
func (a *Agent) room(point string, fs unix.Statfs_t) error {
	if a.MinFree == 0 {
		return nil
	}
	for _, r := range []struct {
		what        string
		free, total uint64
	}{
		{"space", fs.Bavail, fs.Blocks},
		{"inodes", fs.Ffree, fs.Files},
	} {
		// Some have no fixed number of inodes, and say 0.
		if r.total > 0 && r.free*100/r.total < uint64(a.MinFree) {
			return fmt.Errorf("%w: %d %% of the %s on %s is free, less than %s %%", agents.ErrDegraded, r.free*100/r.total, r.what, point, &a.MinFree)
		}
	}
	return nil
}
