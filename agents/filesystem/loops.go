// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// loops are loop devices on files of the device, which keep it busy without a process:
// loop(4). What a device is on is told by the kernel, not by the path, which may be of
// another mount namespace.
func (in marks) loops() []target {
	attached, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return nil
	}
	var found []target
	for _, path := range attached {
		dev := "/dev/" + filepath.Base(filepath.Dir(filepath.Dir(path)))
		fd, err := unix.Open(dev, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			continue // detached meanwhile
		}
		info, err := unix.IoctlLoopGetStatus64(fd)
		unix.Close(fd)
		if err != nil || !slices.Contains(in.devices, info.Device) {
			continue
		}
		t := target{path: dev}
		if number, err := blockNumber(dev); err == nil {
			t.know(number)
		}
		found = append(found, t)
	}
	return found
}

// freeLoops unmounts what is on such loop devices, and detaches them.
func (a *Agent) freeLoops(ctx context.Context, in marks) error {
	for _, t := range in.loops() {
		if err := a.vacate(ctx, t); err != nil {
			return fmt.Errorf("loop device on the file system: %w", err)
		}
		fd, err := unix.Open(t.path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		err = unix.IoctlSetInt(fd, unix.LOOP_CLR_FD, 0)
		unix.Close(fd)
		if err != nil && !errors.Is(err, unix.ENXIO) { // it may detach itself with its last unmount
			return fmt.Errorf("detach %s, which is on the file system: %w", t.path, err)
		}
		a.log.Warn("detached a loop device that was on the file system", "device", t.path)
	}
	return nil
}
