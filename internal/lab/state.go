// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// What a lab is lies in files, so that another process can look into it, work
// on it and clear it away: runTop holds who runs, dataTop what nodes wrote.
const (
	runTop  = "/run/mailha-lab"
	dataTop = "/var/lib/mailha-lab"
)

func runDir(lab string) string  { return filepath.Join(runTop, lab) }
func dataDir(lab string) string { return filepath.Join(dataTop, lab) }

// labState is lab.json.
type labState struct {
	Owner    process `json:"owner"`    // the lab lives as long as this one
	Detached bool    `json:"detached"` // the owner only serves, and may be ended
	Nodes    int     `json:"nodes"`
	Disks    int     `json:"disks"`    // that all nodes share
	Machines int     `json:"machines"` // so many of the nodes, the first ones, are virtual
	Memory   int     `json:"memory"`   // of each machine, in MiB
	Watchdog string  `json:"watchdog"` // what a machine's watchdog does
}

// nodeState is node1.json and so on.
type nodeState struct {
	Supervisor process `json:"supervisor"` // systemd-nspawn
	Leader     process `json:"leader"`     // PID 1 of the node; of a machine, QEMU
	Drives     []drive `json:"drives"`     // its ways to the shared disks, in their order
}

// drive is how a node sees one of the shared disks.
type drive struct {
	Loop string `json:"loop"` // loop device
	Held bool   `json:"held"` // the node was killed with the disk mounted
}

func labFile(lab string) string { return filepath.Join(runDir(lab), "lab.json") }

func loadLab(lab string) (labState, error) {
	var s labState
	err := load(labFile(lab), &s)
	if errors.Is(err, os.ErrNotExist) {
		return s, fmt.Errorf("lab %s: %w", lab, ErrNoLab)
	}
	return s, err
}

func load(file string, into any) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// save replaces the file in one step, so that nobody reads half of it.
func save(file string, what any) error {
	b, err := json.Marshal(what)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// lockFile takes an exclusive flock(2), which the kernel lifts when the
// process dies.
func lockFile(ctx context.Context, file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = poll(ctx, "lock "+file, 5*time.Millisecond, func() (bool, error) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
