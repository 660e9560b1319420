// SPDX-License-Identifier: Apache-2.0

// Package prereq makes sure that the host can run a lab: that we are root and
// that the few tools are there, which it installs by apt if need be.
//
// It must never remove or upgrade a package of the host, nor start a service.
package prereq

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// ErrNotRoot means that labs can't be made: they need namespaces, mounts,
// loop devices and control groups.
var ErrNotRoot = errors.New("labs need root, for namespaces, mounts and loop devices: run this with sudo, or in a throw-away virtual machine")

// need is a program and the Debian package that has it.
type need struct{ program, pkg string }

// wanted maps a program that the lab runs to its Debian package, none of which
// starts a service.
var wanted = []need{
	{"mmdebstrap", "mmdebstrap"},
	{"systemd-nspawn", "systemd-container"},
	{"journalctl", "systemd"},
	{"ip", "iproute2"},
	{"mkfs.ext4", "e2fsprogs"},
	{"tune2fs", "e2fsprogs"},
	{"nsenter", "util-linux"},
	{"ping", "iputils-ping"}, // for a look around from the client
	{"tcpdump", "tcpdump"},
}

// forMachines is what virtual machines need beside that.
var forMachines = []need{
	{"qemu-system-x86_64", "qemu-system-x86"},
	{"depmod", "kmod"},
	{"dpkg-deb", "dpkg"},
	{"xz", "xz-utils"},
}

// Ensure installs what is missing and says so to log.
func Ensure(ctx context.Context, log io.Writer) error { return ensure(ctx, wanted, log) }

// EnsureMachines does so for labs with virtual machines.
func EnsureMachines(ctx context.Context, log io.Writer) error { return ensure(ctx, forMachines, log) }

func ensure(ctx context.Context, wanted []need, log io.Writer) error {
	if os.Geteuid() != 0 {
		return ErrNotRoot
	}
	pkgs := missing(wanted, lookable)
	if len(pkgs) == 0 {
		return nil
	}
	fmt.Fprintf(log, "lab: installing %s\n", strings.Join(pkgs, " "))
	if lists, _ := filepath.Glob("/var/lib/apt/lists/*Packages*"); len(lists) == 0 {
		if err := apt(ctx, "update"); err != nil {
			return err
		}
	}
	args := append([]string{"install", "--yes", "--no-install-recommends", "--no-upgrade", "--no-remove"}, pkgs...)
	if err := apt(ctx, args...); err != nil {
		return err
	}
	if still := missing(wanted, lookable); len(still) > 0 {
		return fmt.Errorf("%s installed, but its programs are not in PATH", strings.Join(still, " "))
	}
	return nil
}

func lookable(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// missing lists the packages of programs that are not there, each once.
func missing(wanted []need, there func(program string) bool) []string {
	var pkgs []string
	for _, w := range wanted {
		if !there(w.program) && !slices.Contains(pkgs, w.pkg) {
			pkgs = append(pkgs, w.pkg)
		}
	}
	return pkgs
}

func apt(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-q", "-o", "DPkg::Lock::Timeout=120"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, lastLines(out, 10))
	}
	return nil
}

func lastLines(out []byte, n int) []byte {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-n):], []byte("\n"))
}
