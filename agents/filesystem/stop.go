// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/process"
)

// defaultStopTime is what a stop has when its caller sets no deadline.
const defaultStopTime = time.Minute

// Stop unmounts the file system and proves that the device is free.
func (a *Agent) Stop(ctx context.Context) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(defaultStopTime)
	}
	// What is left is for saying why it failed.
	ctx, cancel := context.WithDeadline(ctx, deadline.Add(-min(1500*time.Millisecond, time.Until(deadline)/4)))
	defer cancel()
	began := time.Now()
	a.show(agents.Status{Phase: agents.Stopping})
	if err := a.stop(ctx); err != nil {
		a.show(agents.Status{Phase: agents.Failed, Detail: err.Error()})
		return err
	}
	a.show(agents.Status{Phase: agents.Stopped, Detail: "took " + time.Since(began).Round(time.Millisecond).String()})
	return nil
}

func (a *Agent) stop(ctx context.Context) error {
	t, err := a.target(ctx)
	if err != nil {
		return err
	}
	if err := a.endLeft(ctx); err != nil {
		return err
	}
	if t.path == "" && len(t.numbers) == 0 {
		if t, err = a.byDirectory(t); err != nil {
			return err
		}
		if t.path == "" {
			a.log.Warn("nothing says what there is to unmount: no parameters, no note, and nothing of this resource in " + utab)
			a.forget()
			return nil
		}
	}
	leaveDirectory(t)
	if err := a.vacate(ctx, t); err != nil {
		return err
	}
	a.forget()
	return nil
}

// byDirectory takes what is mounted on the directory for ours when nothing says which
// device is.
func (a *Agent) byDirectory(t target) (target, error) {
	if t.dir == "" {
		return t, nil
	}
	all, err := mounts("self")
	if err != nil {
		return t, err
	}
	if m, ok := top(all, t.dir); ok {
		t.path = m.source
		t.know(m.number)
	}
	return t, nil
}

// leaveDirectory has this process not keep the file system busy by itself.
func leaveDirectory(t target) {
	if t.marks(sight{}).on("/proc/self/cwd") {
		_ = os.Chdir("/") // if it fails, the unmount will say so
	}
}

// endLeft ends programs of earlier calls: a mount that was cut off may still succeed.
func (a *Agent) endLeft(ctx context.Context) error {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := process.End(ctx, 0, func() ([]process.Process, error) { return a.helpers.left("mount", "e2fsck") })
	if errors.Is(err, process.ErrAlive) {
		// The proof will tell: a mount that has the device keeps it from being free.
		a.log.Warn("a program of an earlier operation hangs in the kernel", "error", err)
		return nil
	}
	return err
}

// vacate unmounts the device everywhere on this node, ends who uses it, and returns nil
// once the kernel says that it is free.
func (a *Agent) vacate(ctx context.Context, t target) error {
	last := errors.New("there was no time to try") // why the device was not free when it was last tried, with time left
	hung := ""
	force := a.newForce(ctx)
	for round := 0; ; round++ {
		if ctx.Err() != nil {
			return fmt.Errorf("%s is not free: %w; %s%s", t.path, last, hung, a.whoHas(context.WithoutCancel(ctx), t))
		}
		s, err := a.see(t)
		if err != nil {
			return err
		}
		in := t.marks(s)
		spaces := t.spaces()
		if len(s.owned) == 0 && len(spaces) == 0 {
			err = t.free(ctx)
			if err == nil || errors.Is(err, errAbsent) {
				return nil
			}
		} else {
			a.thaw(ctx, s, spaces)
			if round == 0 && errors.Is(a.sync(ctx, s), errStuck) {
				hung = "the device does not answer; "
			}
			err = a.unmountAll(ctx, t, s, force.lazily())
			if err == nil {
				continue // and prove it
			}
		}
		if errors.Is(err, errStuck) {
			return fmt.Errorf("%s is not free, and its device does not answer: %w", t.path, err)
		}
		if ctx.Err() == nil || round == 0 {
			last = err
		}
		if err := a.freeLoops(ctx, in); err != nil {
			return err
		}
		if err := force.apply(ctx, t, in, spaces); err != nil {
			return err
		}
	}
}

// unmountAll unmounts in this namespace, and then where copies of the mount are left.
func (a *Agent) unmountAll(ctx context.Context, t target, s sight, lazily bool) error {
	err := a.unmountOwn(ctx, t, s, lazily)
	if errors.Is(err, errStuck) {
		return err
	}
	for _, sp := range t.spaces() { // most of them follow what is done here
		for _, m := range withNested(sp.all, sp.owned) {
			// Nothing of theirs is run: it is this node's umount that looks from there.
			namespace := "/proc/" + strconv.Itoa(sp.pid) + "/ns/mnt"
			if _, nsErr := a.helpers.run(ctx, nil, "umount", "--namespace", namespace, "-i", "-c", filepath.Join("/", sp.root, m.point)); nsErr != nil {
				err = errors.Join(err, fmt.Errorf("in the mount namespace of process %d: %w", sp.pid, nsErr))
				break
			}
			a.log.Info("unmounted in another mount namespace", "process", sp.pid, "directory", m.point)
		}
	}
	return err
}

// unmountOwn unmounts in this namespace, what lies in or on the mounts of the device
// first.
func (a *Agent) unmountOwn(ctx context.Context, t target, s sight, lazily bool) error {
	for _, m := range withNested(s.all, s.owned) {
		args := []string{"-i", "-c", m.point}
		if lazily {
			args = append([]string{"-l"}, args...)
		}
		began := time.Now()
		if _, err := a.helpers.run(ctx, nil, "umount", args...); err != nil {
			// What was unmounted by somebody else meanwhile is what we want.
			now, seeErr := mounts("self")
			if seeErr != nil || contains(now, m.id) {
				return fmt.Errorf("unmount %s: %w", m.point, err)
			}
			continue
		}
		if !t.owns(m, "") {
			a.log.Warn("unmounted what was mounted inside", "directory", m.point, "source", m.source)
			continue
		}
		a.log.Info("unmounted", "directory", m.point, "lazily", lazily, "took", time.Since(began).Round(time.Millisecond))
	}
	return nil
}

func contains(all []mount, id int) bool {
	for _, m := range all {
		if m.id == id {
			return true
		}
	}
	return false
}

// sync writes out what is left while the users still live, and tells what could not
// be written: an unmount does not.
func (a *Agent) sync(ctx context.Context, s sight) error {
	if len(s.owned) == 0 {
		return nil
	}
	deadline, _ := ctx.Deadline()
	ctx, cancel := context.WithTimeout(ctx, time.Until(deadline)/3)
	defer cancel()
	_, err := a.helpers.run(ctx, nil, "sync", "-f", s.owned[0].point)
	if err != nil {
		a.log.Warn("not everything could be written to the device", "directory", s.owned[0].point, "error", err)
	}
	return err
}

// thaw undoes a freeze: a file system that is unmounted while it is frozen keeps the
// device busy, and nobody can reach it any more to thaw it. That may
// wait for whoever syncs the file system, without an end.
func (a *Agent) thaw(ctx context.Context, s sight, spaces []space) {
	var paths []string
	for _, m := range s.owned {
		paths = append(paths, m.point)
	}
	for _, sp := range spaces {
		for _, m := range sp.owned {
			paths = append(paths, fmt.Sprintf("/proc/%d/root%s", sp.pid, m.point))
		}
	}
	for _, path := range paths {
		const patience = time.Second
		brief, cancel := context.WithTimeout(ctx, patience)
		_, err := a.helpers.run(brief, nil, "fsfreeze", "--unfreeze", path)
		cancel()
		if err == nil {
			a.log.Warn("the file system was frozen; thawed it to unmount it", "directory", path)
		}
		var said *errSaid
		if err == nil || errors.As(err, &said) { // most often, that it was not frozen
			return // one file system, however often it is mounted
		}
		a.log.Warn("cannot see whether the file system is frozen", "directory", path, "error", err)
	}
}

// whoHas names whoever keeps the device busy, for a reason.
func (a *Agent) whoHas(ctx context.Context, t target) string {
	const patience = 700 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := a.see(t)
	if err != nil {
		return err.Error()
	}
	if users, err := t.users(ctx, t.marks(s)); err == nil && len(users) > 0 {
		return "used by " + names(users)
	}
	for _, sp := range t.spaces() {
		return "mounted in the mount namespace of " + process.Names(sp.users)
	}
	if holders := holders(t); holders != "" {
		return holders
	}
	return "no process uses it: look for swap files, loop devices, NFS exports and mount namespaces without processes; one that was unmounted while it was frozen has to be mounted again on this very node and thawed (fsfreeze -u)"
}

// holders are devices that were made of this one, by sysfs.
func holders(t target) string {
	var all []string
	for _, number := range t.numbers {
		entries, err := os.ReadDir("/sys/dev/block/" + numberText(number) + "/holders")
		if err != nil {
			continue
		}
		for _, e := range entries {
			all = append(all, e.Name())
		}
	}
	if len(all) == 0 {
		return ""
	}
	return "it is part of " + strings.Join(all, " ")
}
