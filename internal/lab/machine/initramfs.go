// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// drivers are the modules that the machine's devices need. A watchdog's driver is not
// among them: who tries it loads it.
func drivers() []string {
	return []string{"virtio_pci", "virtio_net", "virtio_blk", "9pnet_virtio", "9p"}
}

const (
	initPath    = "init"
	modulesFile = "modules.order" // files of modules, a line each, in the order to load them
)

// WriteInitramfs makes the file system that the kernel starts with: a static program,
// which calls [Init] under that name, and the drivers that it needs to get at the root.
func WriteInitramfs(file, program string, k Kernel) error {
	mods, err := k.needed(drivers()...)
	if err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	defer f.Close()
	a := &archive{w: bufio.NewWriter(f)}
	for _, dir := range []string{"dev", "proc", "sys", "root", "modules"} {
		a.add(dir, 0o40755, nil)
	}
	a.add("dev/console", 0o20600, nil) // or what init says is lost
	a.addFile(initPath, 0o100755, program)
	var order []string
	for _, m := range mods {
		name := "modules/" + filepath.Base(m)
		a.addFile(name, 0o100644, filepath.Join(k.modules, m))
		order = append(order, "/"+name)
	}
	a.add(modulesFile, 0o100644, []byte(strings.Join(order, "\n")))
	if err := a.close(); err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	return f.Close()
}

// archive writes cpio's "newc" format, cpio(5), and keeps the first error.
type archive struct {
	w    *bufio.Writer
	n, i int
	err  error
}

func (a *archive) addFile(name string, mode uint32, path string) {
	data, err := os.ReadFile(path)
	if a.err == nil {
		a.err = err
	}
	a.add(name, mode, data)
}

func (a *archive) add(name string, mode uint32, data []byte) {
	a.i++
	major, minor := 0, 0
	if mode&0o170000 == 0o20000 {
		major, minor = 5, 1 // the only device is the console
	}
	a.write(fmt.Appendf(nil, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", a.i, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name)+1, 0))
	a.write([]byte(name + "\x00"))
	a.pad()
	a.write(data)
	a.pad()
}

func (a *archive) pad() { a.write(make([]byte, (4-a.n%4)%4)) }

func (a *archive) write(b []byte) {
	if a.err != nil {
		return
	}
	var n int
	n, a.err = a.w.Write(b)
	a.n += n
}

func (a *archive) close() error {
	a.add("TRAILER!!!", 0, nil)
	if a.err != nil {
		return a.err
	}
	return a.w.Flush()
}
