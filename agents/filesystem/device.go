// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/agents"
)

// target is the device as the kernel knows it, and where it belongs.
type target struct {
	path    string   // of the device, as it is named now
	dir     string   // the mount point, without symbolic links
	numbers []uint64 // of the device; a device that came back may have got another one
	files   uint64   // st_dev of its files when it was mounted, if not the device's number
}

// owns says whether the mount is of the device. File systems such as btrfs have a
// number of their own in the list of mounts, and only the source tells the device. A
// source is what it is called below that root directory: in a container, another
// device may have the same name.
func (t target) owns(m mount, root string) bool {
	if slices.Contains(t.numbers, m.number) {
		return true
	}
	if len(t.numbers) == 0 { // its node is gone, and nobody noted its number
		return root == "" && t.path != "" && m.source == t.path
	}
	// A source elsewhere may be on a file system that hangs.
	if unix.Major(m.number) != 0 || !strings.HasPrefix(m.source, "/dev/") {
		return false
	}
	number, err := blockNumber(root + m.source)
	return err == nil && slices.Contains(t.numbers, number)
}

// owned are those of the mounts that are of the device.
func (t target) owned(all []mount, root string) []mount {
	return slices.DeleteFunc(slices.Clone(all), func(m mount) bool { return !t.owns(m, root) })
}

func (t *target) know(number uint64) {
	if number != 0 && !slices.Contains(t.numbers, number) {
		t.numbers = append(t.numbers, number)
	}
}

var errNoBlock = errors.New("is no block device")

// blockNumber is the number of the block device at a path.
func blockNumber(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, &fs.PathError{Op: "look at", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return 0, fmt.Errorf("%s %w", path, errNoBlock)
	}
	return st.Rdev, nil
}

// errBusy says that somebody has the device for himself: a mount, most often.
var errBusy = errors.New("is in use")

// errAbsent says that the node does not have the device.
var errAbsent = errors.New("is not there")

// free proves that nobody has any of the devices mounted. The kernel refuses an
// exclusive open while a file system lives on the device, in whatever mount
// namespace, and after a lazy unmount as well: open(2), O_EXCL without O_CREAT. It
// returns an error that wraps errBusy or errAbsent, or nil.
func (t target) free(ctx context.Context) error {
	return bounded(ctx, "open "+t.path, func() error {
		var first error
		current, err := blockNumber(t.path)
		switch {
		case err == nil:
			first = openAlone(t.path)
		case errors.Is(err, errNoBlock):
			first = fmt.Errorf("%w: %w", errAbsent, err)
		default:
			first = fmt.Errorf("%s %w", t.path, errAbsent)
		}
		if first != nil && !errors.Is(first, errAbsent) {
			return first
		}
		for _, number := range t.numbers {
			if err == nil && number == current {
				continue
			}
			// The node of a device that went away, and that may be in use still.
			if err := openNumber(number); err != nil && !errors.Is(err, errAbsent) {
				return err
			}
		}
		return first
	})
}

func openAlone(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_EXCL|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case err == nil:
		return unix.Close(fd)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%s %w", path, errBusy)
	// EMEDIUMTYPE is how DRBD says that its device is another node's now.
	case slices.ContainsFunc([]error{unix.ENOENT, unix.ENXIO, unix.ENODEV, unix.ENOMEDIUM, unix.EMEDIUMTYPE}, func(e error) bool { return errors.Is(err, e) }):
		return fmt.Errorf("%s %w: %v", path, errAbsent, err)
	}
	return fmt.Errorf("open %s: %w", path, err)
}

// openNumber asks for a device that has no name any more, under a name for a moment.
func openNumber(number uint64) error {
	path := fmt.Sprintf("/dev/.mailha-%d-%d-%d", unix.Major(number), unix.Minor(number), os.Getpid())
	if err := unix.Mknod(path, unix.S_IFBLK|0o600, int(number)); err != nil {
		return fmt.Errorf("ask for device %s, whose name is gone: %w", numberText(number), err)
	}
	err := openAlone(path)
	if removeErr := os.Remove(path); err == nil && removeErr != nil {
		err = removeErr
	}
	if errors.Is(err, errBusy) {
		return fmt.Errorf("the device %s, whose name is gone, %w", numberText(number), errBusy)
	}
	return err
}

// await waits until the node has the device, for udev may be slow.
func await(ctx context.Context, path string) (uint64, error) {
	tick := time.NewTicker(50 * time.Millisecond) // links below /dev come and go by other programs' hands
	defer tick.Stop()
	for {
		number, err := blockNumber(path)
		if err == nil {
			if err := openable(path); err == nil {
				return number, nil
			}
		} else if errors.Is(err, errNoBlock) {
			return 0, fmt.Errorf("%w: %w; only file systems on block devices can be mounted by this agent", agents.ErrNode, err)
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: the device %s is not there; is the storage connected?", agents.ErrInstalled, path)
		case <-tick.C:
		}
	}
}

// openable is false for a node without a device behind it.
func openable(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// bounded does what should not block, but might: a look at a device or a file system
// that hangs. It waits no longer than ctx, and what hangs is left behind.
func bounded(ctx context.Context, what string, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%s: no answer", what)
	}
}

// realDir is the directory without symbolic links, which is how the kernel lists it.
// Of a file system that is broken not even its top can be looked at, so that only
// what is above needs to answer.
func realDir(dir string) (string, error) {
	above, err := filepath.EvalSymlinks(filepath.Dir(dir))
	if err != nil {
		return dir, err
	}
	path := filepath.Join(above, filepath.Base(dir))
	info, err := os.Lstat(path)
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return filepath.EvalSymlinks(path)
	}
	return path, nil
}
