// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Kernel is what a machine boots, as files of the host.
type Kernel struct {
	Image   string // uncompressed where that could be had: emulation unpacks it ten times slower
	Layer   string // directory to lay over a root: it has the modules
	modules string // directory below it
}

// kernelPackage depends on the release's kernel. The one for clouds boots faster but
// has no driver of a watchdog device.
const kernelPackage = "linux-image-amd64"

// needless are modules of which no machine has the hardware, half of the size.
var needless = []string{
	"sound", "drivers/gpu", "drivers/media", "drivers/infiniband", "drivers/staging",
	"drivers/iio", "drivers/net/wireless", "drivers/net/ethernet", "drivers/usb", "drivers/hid", "drivers/scsi",
}

// EnsureKernel returns the kernel kept in cache, a directory. If there is none it takes
// it from the host's apt, without installing it there, and reports to log.
func EnsureKernel(ctx context.Context, cache string, log io.Writer) (Kernel, error) {
	dir := filepath.Join(cache, "kernel")
	if k, err := openKernel(dir); err == nil {
		return k, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return Kernel{}, fmt.Errorf("kernel: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(cache, "kernel.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return Kernel{}, fmt.Errorf("kernel: %w", err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return Kernel{}, fmt.Errorf("kernel: lock: %w", err)
	}
	if k, err := openKernel(dir); err == nil { // unpacked while we waited
		return k, nil
	}
	fmt.Fprintln(log, "lab: unpacking a kernel for virtual machines")
	if err := unpackKernel(ctx, dir); err != nil {
		return Kernel{}, fmt.Errorf("kernel: %w", err)
	}
	return openKernel(dir)
}

func openKernel(dir string) (Kernel, error) {
	k := Kernel{Image: filepath.Join(dir, "kernel"), Layer: filepath.Join(dir, "layer")}
	found, err := filepath.Glob(filepath.Join(k.Layer, "usr/lib/modules/*"))
	if err != nil || len(found) != 1 {
		return Kernel{}, fmt.Errorf("%s: want one kernel's modules, found %q", k.Layer, found)
	}
	k.modules = found[0]
	_, err = os.Stat(k.Image)
	return k, err
}

func unpackKernel(ctx context.Context, dir string) error {
	tmp := dir + ".new" // only files that were unpacked are there, and nothing is mounted
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.MkdirAll(tmp+"/layer/usr/lib", 0o755); err != nil {
		return err
	}
	pkg, err := dependency(ctx)
	if err != nil {
		return err
	}
	if _, err := run(ctx, tmp, "apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", pkg); err != nil {
		return err
	}
	debs, _ := filepath.Glob(tmp + "/*.deb")
	if len(debs) != 1 {
		return fmt.Errorf("apt-get download %s left %q", pkg, debs)
	}
	if _, err := run(ctx, tmp, "dpkg-deb", "-x", debs[0], tmp+"/x"); err != nil {
		return err
	}
	images, _ := filepath.Glob(tmp + "/x/boot/vmlinuz-*")
	if len(images) != 1 {
		return fmt.Errorf("%s has %q", pkg, images)
	}
	version := strings.TrimPrefix(filepath.Base(images[0]), "vmlinuz-")
	from := filepath.Join(tmp, "x/lib/modules", version)
	for _, d := range needless {
		if err := os.RemoveAll(filepath.Join(from, "kernel", d)); err != nil {
			return err
		}
	}
	if err := errors.Join(
		uncompress(ctx, images[0], tmp+"/kernel"),
		os.Rename(filepath.Dir(from), tmp+"/layer/usr/lib/modules"), // of a root without /lib
		os.RemoveAll(tmp+"/x"), os.Remove(debs[0]),
	); err != nil {
		return err
	}
	// depmod wants to find /lib.
	if err := os.Symlink("usr/lib", tmp+"/layer/lib"); err != nil {
		return err
	}
	if _, err := run(ctx, tmp, "depmod", "-b", tmp+"/layer", version); err != nil {
		return err
	}
	if err := os.Remove(tmp + "/layer/lib"); err != nil {
		return err
	}
	return os.Rename(tmp, dir)
}

// uncompress takes the ELF file out of a bzImage, which a machine boots as well
// (CONFIG_PVH). One that is not packed by xz stays as it is.
func uncompress(ctx context.Context, image, to string) error {
	data, err := os.ReadFile(image)
	if err != nil {
		return err
	}
	at := bytes.Index(data, []byte("\xfd7zXZ\x00"))
	if at < 0 {
		return os.WriteFile(to, data, 0o644)
	}
	cmd := exec.CommandContext(ctx, "xz", "--decompress", "--stdout", "--single-stream")
	cmd.Stdin = bytes.NewReader(data[at:])
	elf, err := cmd.Output() // it complains of what comes after
	if !bytes.HasPrefix(elf, []byte("\x7fELF")) {
		return fmt.Errorf("xz made no program of %s: %w", image, err)
	}
	return os.WriteFile(to, elf, 0o644)
}

// dependency is the package of this release's kernel.
func dependency(ctx context.Context) (string, error) {
	out, err := run(ctx, "/", "apt-cache", "depends", "--important", kernelPackage)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(out) {
		if name, is := strings.CutPrefix(strings.TrimSpace(line), "Depends: "); is && strings.HasPrefix(name, "linux-image-") {
			return name, nil
		}
	}
	return "", fmt.Errorf("%s depends on no kernel: run apt-get update", kernelPackage)
}

func run(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(said.Bytes()))
	}
	return out.String(), nil
}

// needed lists the files of modules and all that they need, in the order in which to
// load them, relative to the kernel's directory (modules.dep(5)).
func (k Kernel) needed(modules ...string) ([]string, error) {
	data, err := os.ReadFile(filepath.Join(k.modules, "modules.dep"))
	if err != nil {
		return nil, err
	}
	return order(string(data), modules)
}

func order(dep string, modules []string) ([]string, error) {
	file, needs := map[string]string{}, map[string][]string{}
	for line := range strings.Lines(dep) {
		path, list, _ := strings.Cut(line, ":")
		name, _, _ := strings.Cut(filepath.Base(path), ".ko")
		file[name], needs[path] = path, strings.Fields(list)
	}
	var files []string
	seen := map[string]bool{}
	var add func(path string)
	add = func(path string) {
		if seen[path] {
			return
		}
		seen[path] = true
		for _, p := range needs[path] {
			add(p)
		}
		files = append(files, path)
	}
	for _, m := range modules {
		path, is := file[m]
		if !is {
			return nil, fmt.Errorf("the kernel has no module %s", m)
		}
		add(path)
	}
	return files, nil
}
