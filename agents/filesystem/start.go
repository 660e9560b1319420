// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/process"
)

// Start mounts the file system.
func (a *Agent) Start(ctx context.Context) error {
	a.show(agents.Status{Phase: agents.Starting})
	if err := a.start(ctx); err != nil {
		a.show(agents.Status{Phase: agents.Failed, Detail: err.Error()})
		return err
	}
	a.show(agents.Status{Phase: agents.Started})
	return nil
}

func (a *Agent) start(ctx context.Context) error {
	if err := ownNamespace(); err != nil {
		return err
	}
	if err := a.noneLeft(); err != nil {
		return err
	}
	path := a.Device.path()
	number, err := a.await(ctx, path)
	if err != nil {
		return err
	}
	t := target{path: path}
	t.know(number)
	if t.dir, err = a.mountPoint(); err != nil {
		return err
	}
	s, err := a.see(t)
	if err != nil {
		return err
	}
	n := note{device: path, number: number, dir: t.dir}
	if s.placed {
		if err := a.well(s); err != nil && !errors.Is(err, agents.ErrDegraded) {
			return err
		}
		return a.keep(ctx, n)
	}
	if err := a.vacant(ctx, t, s); err != nil {
		return err
	}
	kind, sb, err := a.kind(ctx)
	if err == nil {
		err = a.protected(sb)
	}
	if err != nil {
		return err
	}
	if err := agents.WriteNote(a.env.NotePath(), n.text()); err != nil {
		return fmt.Errorf("note what is mounted: %w", err)
	}
	if err = a.check(ctx, sb); err == nil {
		err = a.mount(ctx, t, kind, sb)
	}
	if err != nil {
		return errors.Join(err, a.undo(ctx, t))
	}
	return a.keep(ctx, n)
}

// keep notes what is mounted, with the number by which its files are known.
func (a *Agent) keep(ctx context.Context, n note) error {
	if err := bounded(ctx, "look at "+n.dir, func() error {
		var st unix.Stat_t
		err := unix.Stat(n.dir, &st)
		n.files = st.Dev
		return err
	}); err != nil {
		return fmt.Errorf("look at the mounted file system: %w", err)
	}
	if err := agents.WriteNote(a.env.NotePath(), n.text()); err != nil {
		return fmt.Errorf("note what is mounted: %w", err)
	}
	return nil
}

// await waits for the device for half of the time: what comes late has to be mounted, too.
func (a *Agent) await(ctx context.Context, path string) (uint64, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	return await(ctx, path)
}

// noneLeft refuses to go on beside a program of an earlier call, which might mount
// the file system at any time.
func (a *Agent) noneLeft() error {
	left, err := a.helpers.left("mount", "umount", "e2fsck")
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("an earlier operation is still under way: %s", process.Names(left))
	}
	return nil
}

// mountPoint is the directory as the kernel will list it, made if it is missing.
func (a *Agent) mountPoint() (string, error) {
	dir, err := realDir(string(a.Directory))
	if err != nil {
		return "", fmt.Errorf("%w: mount point: %w", agents.ErrInstalled, err)
	}
	err = os.Mkdir(dir, 0o755)
	if err == nil {
		a.log.Info("made the mount point", "directory", dir)
		return dir, nil
	}
	if !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("mount point: %w", err)
	}
	return dir, nil
}

// vacant refuses what is in use already.
func (a *Agent) vacant(ctx context.Context, t target, s sight) error {
	switch {
	case s.there != nil:
		return fmt.Errorf("something else is mounted on %s: %s; unmount it first", t.dir, s.there.source)
	case len(s.elsewhere) > 0:
		return fmt.Errorf("%s is mounted on %s already; unmount it there first", t.path, s.elsewhere[0].point)
	}
	err := t.free(ctx)
	if errors.Is(err, errBusy) {
		return fmt.Errorf("%w already, although it is not mounted where this node sees it; %s", err, a.whoHas(ctx, t))
	}
	if err != nil {
		return err
	}
	info, err := os.Stat(t.dir)
	if err != nil {
		return fmt.Errorf("mount point: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%w: the mount point %s is no directory", agents.ErrNode, t.dir)
	}
	if entries, err := os.ReadDir(t.dir); err == nil && len(entries) > 0 {
		a.log.Warn("the mount point is not empty; what is in it cannot be seen from now on", "directory", t.dir, "entries", len(entries))
	}
	if !a.Options.readOnly() && writeProtected(t.path) {
		return fmt.Errorf("%s is write-protected; make it writable (blockdev --setrw), or have it mounted read-only by options=ro", t.path)
	}
	return nil
}

// writeProtected asks the device: ioctl BLKROGET.
func writeProtected(path string) bool {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	ro, err := unix.IoctlGetInt(fd, unix.BLKROGET)
	return err == nil && ro != 0
}

// check runs e2fsck where it has to be.
func (a *Agent) check(ctx context.Context, s super) error {
	why := ""
	switch {
	case s.kind != "ext4" || a.Fsck == "no":
	case a.Fsck == "yes":
		why = "asked for by the parameter fsck"
	case s.faulty:
		why = "the kernel has noted errors in the file system"
	case !s.journal && !s.clean:
		why = "it was not unmounted, and has no journal"
	}
	if why == "" {
		return nil
	}
	a.log.Info("checking the file system", "device", a.Device.path(), "why", why)
	began := time.Now()
	out, err := a.helpers.run(ctx, nil, "e2fsck", "-p", a.Device.path())
	var said *errSaid
	// 1: errors were corrected; 2: as well, and the node should be booted, which is
	// for its root file system only: e2fsck(8).
	if errors.As(err, &said) && said.code&^3 == 0 {
		a.log.Warn("the file system was repaired", "device", a.Device.path(), "said", strings.TrimSpace(out))
		err = nil
	}
	if said != nil && err != nil {
		said.text = strings.Join(strings.Fields(out+" "+said.text), " ") // it tells on both what is wrong
	}
	if err != nil {
		return fmt.Errorf("check of %s before it is mounted (%s): %w; repair it by hand: e2fsck -f %[1]s", a.Device.path(), why, err)
	}
	a.log.Info("checked the file system", "device", a.Device.path(), "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// mount has mount(8) do it, which knows how each option is told to the kernel.
func (a *Agent) mount(ctx context.Context, t target, kind string, s super) error {
	before, protected := a.helpers.mmp(ctx, t.path, s)
	if wait := before.wait(); protected && wait > 0 {
		a.log.Warn("multi-mount protection has the mark of a node that did not unmount; the kernel waits whether it lives", "node", before.node, "for", wait)
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
			a.log.Warn("that is longer than this start may take", "left", time.Until(deadline).Round(time.Second))
		}
	}
	options := label(a.env.FileName())
	if a.Options != "" {
		options = string(a.Options) + "," + options
	}
	args := []string{"-t", kind, "-o", options}
	if !a.Options.readOnly() {
		args = append(args, "-w") // or else it would try again read-only
	}
	_, err := a.helpers.run(ctx, nil, "mount", append(args, t.path, t.dir)...)
	if err != nil {
		if after, ok := a.helpers.mmp(ctx, t.path, s); ok && protected {
			if owner := rival(before, after); owner != "" {
				return fmt.Errorf("another node has %s mounted: %s; its multi-mount protection refuses a second mount", t.path, owner)
			}
		}
		return fmt.Errorf("mount %s: %w", t.path, err)
	}
	seen, err := a.see(t)
	if err != nil {
		return err
	}
	if !seen.placed {
		return fmt.Errorf("mount said that it had mounted %s on %s, but it is not there", t.path, t.dir)
	}
	if err := a.well(seen); err != nil && !errors.Is(err, agents.ErrDegraded) {
		return err
	}
	return nil
}

// rival is who else has the file system, by what multi-mount protection says before
// and after a mount that failed.
func rival(before, after mmp) string {
	switch {
	case after.seq == mmpFsck:
		return fmt.Sprintf("%s checks it with e2fsck, or did so when it died", after.node)
	case after.seq != mmpClean && after.seq != before.seq:
		return fmt.Sprintf("%s, which wrote its mark at %s by its own clock", after.node, after.written.Format(time.TimeOnly))
	}
	return ""
}

// undo leaves nothing of a start that failed.
func (a *Agent) undo(ctx context.Context, t target) error {
	// The time of the start may be over; the cluster's next step is a stop anyhow.
	const patience = 500 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	s, err := a.see(t)
	if err != nil {
		return err
	}
	if len(s.owned) > 0 {
		if err := a.unmountOwn(ctx, t, s, false); err != nil {
			return err
		}
	}
	if err := t.free(ctx); err != nil && !errors.Is(err, errAbsent) {
		return nil // what is left is for the stop to find; the note tells it where
	}
	a.forget()
	return nil
}

func (a *Agent) forget() {
	if err := os.Remove(a.env.NotePath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		a.log.Warn("cannot remove what the start noted", "error", err)
	}
}
