// SPDX-License-Identifier: Apache-2.0

package watchdog

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// handle is an open device, which runs.
type handle interface {
	// Support is the driver's identity and its WDIOF_ flags.
	Support() (identity string, flags uint32, err error)
	// SetTimeout asks for whole seconds, and returns what the device has taken.
	SetTimeout(d time.Duration) (time.Duration, error)
	// Left is how long it will run on unless it is fed; not every device knows.
	Left() (time.Duration, error)
	Feed() error
	// Stop disarms it and closes it; Leave closes it and leaves it running.
	Stop() error
	Leave() error
}

// file is the kernel's.
type file struct{ f *os.File }

var (
	// ErrBusy means that somebody else has the device.
	ErrBusy = errors.New("the watchdog device is in use")
	// ErrNoWayOut means that a device cannot be disarmed.
	ErrNoWayOut = errors.New("the watchdog device cannot be disarmed: its driver runs with nowayout")
)

// open starts the device.
func open(path string) (handle, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("%w: %s: %s", ErrBusy, path, conflict(path))
	}
	if err != nil {
		return nil, err
	}
	return &file{f}, nil
}

func (d *file) Support() (string, uint32, error) {
	info, err := unix.IoctlGetWatchdogInfo(int(d.f.Fd()))
	if err != nil {
		return "", 0, fmt.Errorf("WDIOC_GETSUPPORT: %w", err)
	}
	identity, _, _ := strings.Cut(string(info.Identity[:]), "\x00")
	return identity, info.Options, nil
}

func (d *file) SetTimeout(want time.Duration) (time.Duration, error) {
	seconds := int32(roundUp(want) / time.Second)
	if err := d.ioctl(unix.WDIOC_SETTIMEOUT, &seconds); err != nil {
		return 0, fmt.Errorf("WDIOC_SETTIMEOUT %d s: %w", seconds, err)
	}
	// What the call has put there is what was asked for, with some drivers.
	if err := d.ioctl(unix.WDIOC_GETTIMEOUT, &seconds); err != nil {
		return 0, fmt.Errorf("WDIOC_GETTIMEOUT: %w", err)
	}
	return time.Duration(seconds) * time.Second, nil
}

func (d *file) Left() (time.Duration, error) {
	var seconds int32
	if err := d.ioctl(unix.WDIOC_GETTIMELEFT, &seconds); err != nil {
		return 0, fmt.Errorf("WDIOC_GETTIMELEFT: %w", err)
	}
	return time.Duration(seconds) * time.Second, nil
}

func (d *file) Feed() error {
	if err := unix.IoctlWatchdogKeepalive(int(d.f.Fd())); err != nil {
		return fmt.Errorf("WDIOC_KEEPALIVE: %w", err)
	}
	return nil
}

func (d *file) Stop() error {
	const magic = "V" // Documentation/watchdog/watchdog-api.rst
	if _, err := d.f.WriteString(magic); err != nil {
		return fmt.Errorf("magic close: %w", err)
	}
	return d.f.Close()
}

func (d *file) Leave() error { return d.f.Close() }

func (d *file) ioctl(request uint, value *int32) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, d.f.Fd(), uintptr(request), uintptr(unsafe.Pointer(value))); errno != 0 {
		return errno
	}
	return nil
}
