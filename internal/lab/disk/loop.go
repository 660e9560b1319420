// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Attach binds a free loop device to the file and returns the device's path.
func Attach(file string) (string, error) {
	backing, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("shared disk: %w", err)
	}
	defer backing.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("shared disk: loop devices: %w", err)
	}
	defer control.Close()
	for {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return "", fmt.Errorf("shared disk: no free loop device: %w", err)
		}
		dev := fmt.Sprintf("/dev/loop%d", n)
		err = configure(dev, backing)
		if errors.Is(err, unix.EBUSY) { // somebody was faster
			continue
		}
		if err != nil {
			return "", fmt.Errorf("shared disk: %s on %s: %w", dev, file, err)
		}
		return dev, nil
	}
}

func configure(dev string, backing *os.File) error {
	loop, err := os.OpenFile(dev, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer loop.Close()
	config := unix.LoopConfig{Fd: uint32(backing.Fd())}
	copy(config.Info.File_name[:], backing.Name())
	return unix.IoctlLoopConfigure(int(loop.Fd()), &config)
}

// Detach unbinds the loop device and waits until the kernel has let it go: with
// the file system still mounted somewhere it would only promise to do so later.
// A device that is not bound to a file below dir is left alone.
func Detach(ctx context.Context, dev, dir string) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for bound(dev, dir) {
		if err := unbind(dev); err != nil {
			return fmt.Errorf("shared disk: detach %s: %w", dev, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("shared disk: %s is still in use: %w", dev, context.Cause(ctx))
		case <-tick.C:
		}
	}
	return nil
}

func unbind(dev string) error {
	loop, err := os.OpenFile(dev, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer loop.Close()
	err = unix.IoctlSetInt(int(loop.Fd()), unix.LOOP_CLR_FD, 0)
	if errors.Is(err, unix.ENXIO) {
		return nil
	}
	return err
}

func bound(dev, dir string) bool {
	b, err := os.ReadFile("/sys/block/" + filepath.Base(dev) + "/loop/backing_file")
	return err == nil && strings.HasPrefix(string(b), dir+"/")
}

// Attached lists the loop devices bound to files below dir.
func Attached(dir string) ([]string, error) {
	all, err := filepath.Glob("/sys/block/loop*")
	if err != nil {
		return nil, err
	}
	var devs []string
	for _, path := range all {
		if dev := "/dev/" + filepath.Base(path); bound(dev, dir) {
			devs = append(devs, dev)
		}
	}
	return devs, nil
}
