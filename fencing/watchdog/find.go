// SPDX-License-Identifier: Apache-2.0

package watchdog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Device is what the kernel says of a watchdog device before anybody opens it, which
// would start it (Documentation/ABI/testing/sysfs-class-watchdog).
type Device struct {
	Path     string        // such as /dev/watchdog0
	Identity string        // of the driver, for people: "i6300ESB timer"
	NoWayOut bool          // nobody can disarm it until the machine is reset
	Active   bool          // somebody has armed it
	Min, Max time.Duration // of its timeout; 0: not known
	// Stops is true if the device stops when its process dies: it lacks the "magic
	// close" (Documentation/watchdog/watchdog-api.rst).
	Stops bool

	known bool // the rest was read
}

// Software says whether the device is a timer of the kernel's, which does not act when
// the kernel itself hangs.
func (d Device) Software() bool { return strings.HasPrefix(d.Identity, "Software Watchdog") }

func (d Device) String() string {
	if d.Identity == "" {
		return d.Path
	}
	return d.Path + " (" + d.Identity + ")"
}

// ErrNoDevice means that the machine has no watchdog device.
var ErrNoDevice = errors.New("no watchdog device: load the driver of the machine's own, or softdog, which does not help if the kernel hangs")

const sysfs = "/sys"

// Find lists the machine's devices, hardware first.
func Find() ([]Device, error) { return find(os.DirFS(sysfs), "/dev") }

// Look says what the kernel knows of one device; its path may be a link.
func Look(file string) (Device, error) { return look(os.DirFS(sysfs), file) }

func find(sys fs.FS, dev string) ([]Device, error) {
	names, err := fs.Glob(sys, "class/watchdog/watchdog*")
	if err != nil {
		return nil, fmt.Errorf("watchdog: %w", err)
	}
	var all []Device
	for _, name := range names {
		d := read(sys, name)
		d.Path = filepath.Join(dev, path.Base(name))
		all = append(all, d)
	}
	slices.SortStableFunc(all, func(a, b Device) int {
		switch {
		case a.Software() == b.Software():
			return 0
		case b.Software():
			return -1
		}
		return 1
	})
	if len(all) == 0 {
		return nil, fmt.Errorf("watchdog: %w", ErrNoDevice)
	}
	return all, nil
}

// look goes by the device's number, because /dev/watchdog is another name of the first
// one: number 130 of the misc devices, which has no entry of its own.
func look(sys fs.FS, file string) (Device, error) {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return Device{Path: file}, fmt.Errorf("watchdog: %s: %w", file, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR {
		return Device{Path: file}, fmt.Errorf("watchdog: %s is no device", file)
	}
	number := fmt.Sprintf("%d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)))
	if number == miscNumber {
		d := read(sys, "class/watchdog/watchdog0")
		d.Path = file
		return d, nil
	}
	names, err := fs.Glob(sys, "class/watchdog/watchdog*")
	if err != nil {
		return Device{Path: file}, fmt.Errorf("watchdog: %w", err)
	}
	for _, name := range names {
		if value(sys, name, "dev") == number {
			d := read(sys, name)
			d.Path = file
			return d, nil
		}
	}
	return Device{Path: file}, nil // of a kernel without CONFIG_WATCHDOG_SYSFS: opening it tells
}

// miscNumber is that of /dev/watchdog (Documentation/admin-guide/devices.txt).
const miscNumber = "10:130"

// magicClose is WDIOF_MAGICCLOSE of linux/watchdog.h.
const magicClose = unix.WDIOF_MAGICCLOSE

func read(sys fs.FS, dir string) Device {
	d := Device{
		Identity: value(sys, dir, "identity"), NoWayOut: value(sys, dir, "nowayout") == "1", Active: value(sys, dir, "state") == "active",
		Min: seconds(value(sys, dir, "min_timeout")), Max: seconds(value(sys, dir, "max_timeout")),
	}
	if options, err := strconv.ParseUint(value(sys, dir, "options"), 0, 64); err == nil {
		d.known, d.Stops = true, options&magicClose == 0 && !d.NoWayOut
	}
	return d
}

func value(sys fs.FS, dir, name string) string {
	data, _ := fs.ReadFile(sys, path.Join(dir, name)) // what is missing is not known
	return strings.TrimSpace(string(data))
}

func seconds(text string) time.Duration {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(n) * time.Second
}
