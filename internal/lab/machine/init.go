// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	rootTag, shareTag = "root", "share" // of the host's directories, by 9p
	// controlPort is where commands are served.
	controlPort = 7
	// The kernel calls the wires so; systemd-nspawn calls the first one nodeWire, and the
	// image's own script expects it.
	firstWire, secondWire, nodeWire = "eth0", "eth1", "host0"
)

// searchPath is where the root has its programs.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Init is the machine's first process: it mounts the root, has commands served, and
// becomes systemd. It returns only if it fails, which ends the machine.
func Init() error {
	if err := os.Setenv("PATH", searchPath); err != nil {
		return err
	}
	for _, step := range []func() error{early, loadModules, mountRoot, func() error { return plugDisks("/proc/cmdline") }, startServer} {
		if err := step(); err != nil {
			return fmt.Errorf("init: %w", err)
		}
	}
	return syscall.Exec("/sbin/init", []string{"/sbin/init"}, []string{"PATH=" + searchPath, "TERM=dumb"})
}

func early() error {
	return errors.Join(
		unix.Mount("proc", "/proc", "proc", 0, ""),
		unix.Mount("sys", "/sys", "sysfs", 0, ""),
		unix.Mount("dev", "/dev", "devtmpfs", 0, ""))
}

func loadModules() error {
	list, err := os.ReadFile("/" + modulesFile)
	if err != nil {
		return err
	}
	for file := range strings.FieldsSeq(string(list)) {
		if err := loadModule(file); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

func loadModule(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	flags := 0
	if filepath.Ext(file) != ".ko" {
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	err = unix.FinitModule(int(f.Fd()), "", flags)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

// mountRoot makes the host's directory the root. It is cached, for emulation is slow,
// and mmap is used for writing; what the host shares with all nodes is not.
func mountRoot() error {
	const options = "trans=virtio,version=9p2000.L,msize=512000,posixacl,cache="
	if err := unix.Mount(rootTag, "/root", "9p", 0, options+"loose"); err != nil {
		return fmt.Errorf("mount the root: %w", err)
	}
	for _, m := range []struct{ what, where, kind, options string }{
		{"dev", "/root/dev", "devtmpfs", ""}, {"proc", "/root/proc", "proc", ""}, {"sys", "/root/sys", "sysfs", ""},
		{"tmpfs", "/root/tmp", "tmpfs", "mode=1777"}, {shareTag, "/root/lab", "9p", options + "none"},
	} {
		if err := unix.Mount(m.what, m.where, m.kind, 0, m.options); err != nil {
			return fmt.Errorf("mount %s: %w", m.where, err)
		}
	}
	if err := unix.Chdir("/root"); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return unix.Chdir("/")
}

// plugDisks makes the nodes of the shared disks, whose names the command line has.
func plugDisks(cmdline string) error {
	for i, path := range strings.Split(parameter(cmdline, disksParameter), ",") {
		if path == "" {
			continue
		}
		dev, err := os.ReadFile(fmt.Sprintf("/sys/block/vd%c/dev", 'a'+i))
		if err != nil {
			return err
		}
		major, minor, _ := strings.Cut(strings.TrimSpace(string(dev)), ":")
		a, errA := strconv.Atoi(major)
		b, errB := strconv.Atoi(minor)
		if err := errors.Join(errA, errB); err != nil {
			return err
		}
		if err := unix.Mknod(path, unix.S_IFBLK|0o660, int(unix.Mkdev(uint32(a), uint32(b)))); err != nil {
			return fmt.Errorf("mknod %s: %w", path, err)
		}
	}
	return nil
}

// parameter is the value of one that was given to the kernel.
func parameter(cmdline, name string) string {
	data, _ := os.ReadFile(cmdline)
	for f := range strings.FieldsSeq(string(data)) {
		if v, is := strings.CutPrefix(f, name+"="); is {
			return v
		}
	}
	return ""
}

func startServer() error {
	if err := tool("ip", "link", "set", firstWire, "name", nodeWire); err != nil {
		return err
	}
	console, err := os.OpenFile("/dev/console", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer console.Close()
	server := &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{ServerName}, Dir: "/", Stdout: console, Stderr: console,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	return server.Start()
}

// listenApart takes the second wire into a network namespace where nobody else is, and
// listens there.
func listenApart() (l net.Listener, err error) {
	own, err := netip.ParsePrefix(parameter("/proc/cmdline", controlParameter))
	if err != nil {
		return nil, fmt.Errorf("%s of the kernel's command line: %w", controlParameter, err)
	}
	ready, moved, done := make(chan int), make(chan error), make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: what lives here stays here
		defer close(done)
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			ready <- 0
			return
		}
		ready <- unix.Gettid()
		if err = <-moved; err != nil {
			return
		}
		for _, args := range [][]string{{"link", "set", "lo", "up"}, {"addr", "add", own.String(), "dev", secondWire}, {"link", "set", secondWire, "up"}} {
			if err = tool("ip", args...); err != nil {
				return
			}
		}
		l, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", netip.AddrPortFrom(own.Addr(), controlPort).String())
	}()
	if tid := <-ready; tid != 0 {
		moved <- tool("ip", "link", "set", secondWire, "netns", strconv.Itoa(tid))
	}
	<-done
	return l, err
}

func tool(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
