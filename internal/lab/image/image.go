// SPDX-License-Identifier: Apache-2.0

// Package image builds the root file system that all nodes of all labs share as
// their lower layer: a Debian with systemd and what a mail cluster needs, in
// which nothing starts by itself.
//
// It must never change an image that is complete, for nodes may run on it: a
// change of the recipe gives an image of another name.
package image

import (
	"bufio"
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Dir is where images are kept.
const Dir = "/var/cache/mailha-lab"

// customize runs on the host with the new root as its argument.
//
//go:embed customize.sh
var customize string

// packages is what every node has.
var packages = []string{
	"systemd", "systemd-sysv", "dbus", "util-linux", "e2fsprogs", "procps", "psmisc",
	"iproute2", "nftables", "iputils-ping", "iputils-arping", "netcat-openbsd", "tcpdump", "strace",
	"ca-certificates", "openssl", "libxml2-utils", "xsltproc",
	"corosync", "pacemaker", "pacemaker-cli-utils", "crmsh", "resource-agents", "libnet1",
	"postfix", "postfix-ldap", "postgrey", "kmod",
	"dovecot-imapd", "dovecot-pop3d", "dovecot-lmtpd", "dovecot-ldap",
	"slapd", "ldap-utils", "pcs", "keepalived",
}

// Ensure returns the root directory of the image. If there is none of this
// recipe yet, it builds one, which takes a minute or two, and reports to log.
func Ensure(ctx context.Context, log io.Writer) (string, error) {
	suite, err := hostSuite()
	if err != nil {
		return "", fmt.Errorf("base image: %w", err)
	}
	dir := filepath.Join(Dir, "base-"+recipe(suite))
	if complete(dir) {
		return dir, nil
	}
	if err := os.MkdirAll(Dir, 0o755); err != nil {
		return "", fmt.Errorf("base image: %w", err)
	}
	held, err := lock(ctx, filepath.Join(Dir, "lock"), log)
	if err != nil {
		return "", fmt.Errorf("base image: %w", err)
	}
	defer held.Close()
	if complete(dir) { // built while we waited
		return dir, nil
	}
	if err := build(ctx, suite, dir, held, log); err != nil {
		return "", fmt.Errorf("base image: %w", err)
	}
	return dir, nil
}

// recipe names what an image is made of.
func recipe(suite string) string {
	h := sha256.New()
	fmt.Fprintln(h, suite, packages, excluded, customize)
	return fmt.Sprintf("%x", h.Sum(nil))[:12]
}

func complete(dir string) bool {
	_, err := os.Stat(dir)
	return err == nil
}

// lock takes a flock(2), so that of two processes one builds and one waits. It is held
// until all who have the file have closed it.
func lock(ctx context.Context, file string, log io.Writer) (held *os.File, err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for said := false; ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", file, err)
		}
		if !said {
			fmt.Fprintln(log, "base image: another process is building it")
			said = true
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", file, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// excluded is what a test node has no use for.
var excluded = []string{"/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*"}

// build makes the image under another name and renames it when it is complete.
func build(ctx context.Context, suite, dir string, held *os.File, log io.Writer) error {
	tmp := dir + ".new"
	if err := discard(tmp); err != nil { // of a build that was killed
		return err
	}
	work, err := os.MkdirTemp("", "mailha-lab-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	sources, err := hostSources(work, suite)
	if err != nil {
		return err
	}
	hook := filepath.Join(work, "customize.sh")
	if err := os.WriteFile(hook, []byte(customize), 0o755); err != nil {
		return err
	}
	args := []string{"--variant=minbase", "--mode=root", "--format=directory",
		`--aptopt=APT::Install-Recommends "false"`, `--aptopt=Acquire::Languages "none"`,
		"--include=" + strings.Join(packages, ","), "--customize-hook=" + hook}
	for _, e := range excluded {
		args = append(args, "--dpkgopt=path-exclude="+e)
	}
	args = append(append(args, suite, tmp), sources...)
	// In a mount namespace of its own: what it mounts is gone when it is.
	args = append([]string{"--mount", "--propagation", "private", "mmdebstrap"}, args...)
	if err := run(ctx, log, held, "unshare", args...); err != nil {
		return errors.Join(err, discard(tmp))
	}
	return os.Rename(tmp, dir)
}

// discard removes a tree, but nothing that is mounted in it: that could be the host's
// own devices.
func discard(dir string) error {
	points, err := mounts(dir)
	if err != nil {
		return err
	}
	for _, point := range slices.Backward(points) {
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s, which a build that was killed has left: %w", point, err)
		}
	}
	if points, err = mounts(dir); err != nil || len(points) > 0 {
		return errors.Join(err, fmt.Errorf("%s is not removed: %q are mounted there", dir, points))
	}
	return os.RemoveAll(dir)
}

// mounts lists what is mounted at or below a directory, in the order of proc(5)
// mountinfo: what is mounted on something comes after it.
func mounts(dir string) ([]string, error) {
	data, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	var points []string
	for line := range strings.Lines(string(data)) {
		const point = 4
		if fields := strings.Fields(line); len(fields) > point && (fields[point] == dir || strings.HasPrefix(fields[point], dir+"/")) {
			points = append(points, fields[point])
		}
	}
	return points, nil
}

// run passes on the phases that the program reports ("I: ..."), with the
// seconds since the start, and puts its last lines into the error.
func run(ctx context.Context, log io.Writer, held *os.File, name string, args ...string) error {
	start := time.Now()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) } // lets it unmount
	cmd.WaitDelay = 10 * time.Second
	cmd.ExtraFiles = []*os.File{held} // should we be killed, nobody else builds before it has ended
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	w.Close()
	if err != nil {
		return err
	}
	var last []string
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if phase, ok := strings.CutPrefix(line, "I: "); ok {
			fmt.Fprintf(log, "base image: %4.0f s: %s\n", time.Since(start).Seconds(), phase)
		}
		last = append(last, line)
		last = slices.Delete(last, 0, max(0, len(last)-15))
	}
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("%s: %w; it said last:\n%s", name, err, strings.Join(last, "\n"))
	}
	return nil
}
