// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestModulesInTheirOrder(t *testing.T) {
	const dep = "kernel/a.ko: kernel/b.ko kernel/c.ko\nkernel/c.ko: kernel/d.ko.xz\nkernel/b.ko:\nkernel/d.ko.xz:\nkernel/e.ko: kernel/a.ko\n"
	got, err := order(dep, []string{"e", "d"})
	want := []string{"kernel/b.ko", "kernel/d.ko.xz", "kernel/c.ko", "kernel/a.ko", "kernel/e.ko"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	if _, err := order(dep, []string{"none"}); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("a module that is not there: got %v", err)
	}
}

// The initramfs is read back by the rules of cpio(5).
func TestInitramfs(t *testing.T) {
	dir := t.TempDir()
	mods := filepath.Join(dir, "layer/usr/lib/modules/6.0")
	var dep strings.Builder
	for _, d := range drivers() {
		dep.WriteString("kernel/" + d + ".ko:\n")
		if err := errors.Join(os.MkdirAll(mods+"/kernel", 0o755), os.WriteFile(mods+"/kernel/"+d+".ko", []byte("module "+d), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	program := dir + "/program"
	if err := errors.Join(os.WriteFile(mods+"/modules.dep", []byte(dep.String()), 0o644), os.WriteFile(program, []byte("a program"), 0o755), os.WriteFile(dir+"/kernel", nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	k, err := openKernel(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteInitramfs(dir+"/initramfs", program, k); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(dir + "/initramfs")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for len(data) > 0 {
		if string(data[:6]) != "070701" {
			t.Fatalf("no header: %q", data[:min(len(data), 20)])
		}
		size, nameSize := number(t, data[54:62]), number(t, data[94:102])
		name := string(data[110 : 110+nameSize-1])
		start := (110 + nameSize + 3) &^ 3
		files[name] = string(data[start : start+size])
		data = data[(start+size+3)&^3:]
	}
	if files["init"] != "a program" || files["modules/9p.ko"] != "module 9p" || !strings.HasSuffix(files["modules.order"], "/modules/9p.ko") {
		t.Errorf("got %q", files)
	}
	if _, is := files["TRAILER!!!"]; !is {
		t.Error("no trailer")
	}
}

func number(t *testing.T, hex []byte) int {
	t.Helper()
	n := 0
	for _, c := range hex {
		i := strings.IndexByte("0123456789abcdef", c)
		if i < 0 {
			t.Fatalf("no number: %q", hex)
		}
		n = 16*n + i
	}
	return n
}

func serving(t *testing.T) net.Conn {
	t.Helper()
	host, guest := net.Pipe()
	t.Cleanup(func() { host.Close() })
	go serve(guest)
	return host
}

var env = []string{"PATH=/usr/bin:/bin", "WORD=from outside"}

func TestCommands(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		argv     []string
		out, err string
		want     Exit
	}{
		{"output and code", "", []string{"sh", "-c", "echo out; echo err >&2; exit 3"}, "out\n", "err\n", Exit{Code: 3}},
		{"environment and directory", "", []string{"sh", "-c", "echo $WORD; pwd"}, "from outside\n/\n", "", Exit{}},
		{"input to its end", "one\ntwo\n", []string{"cat"}, "one\ntwo\n", "", Exit{}},
		{"a signal", "", []string{"sh", "-c", "kill -9 $$"}, "", "", Exit{Code: -1, Signal: 9}},
		{"a daemon that keeps the pipe", "", []string{"sh", "-c", "sleep 20 & echo gone"}, "gone\n", "", Exit{}},
		{"much", strings.Repeat("x", 3<<20), []string{"cat"}, strings.Repeat("x", 3<<20), "", Exit{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, said bytes.Buffer
			got, err := Enter(serving(t), Request{tt.argv, env}, strings.NewReader(tt.in), &out, &said)
			if err != nil || got != tt.want || out.String() != tt.out || said.String() != tt.err {
				t.Errorf("got %+v, %v, %d bytes, %q", got, err, out.Len(), said.String())
			}
		})
	}
	got, err := Enter(serving(t), Request{[]string{"no-such-program"}, env}, strings.NewReader(""), io.Discard, io.Discard)
	if err != nil || got.Code != 127 || !strings.Contains(got.Error, "no-such-program") {
		t.Errorf("no program: got %+v, %v", got, err)
	}
}

// Who asked may be killed: then what it asked for has to end.
func TestCommandEndsWithItsConnection(t *testing.T) {
	c := serving(t)
	r, w := io.Pipe()
	go Enter(c, Request{[]string{"sh", "-c", "echo $$; sleep 100"}, env}, blocked{}, w, io.Discard)
	line := make([]byte, 32)
	n, err := r.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	proc := "/proc/" + strings.TrimSpace(string(line[:n]))
	if _, err := os.Stat(proc); err != nil {
		t.Fatal(err)
	}
	c.Close()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(proc); errors.Is(err, os.ErrNotExist) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("it runs on")
		}
	}
}

type blocked struct{}

func (blocked) Read([]byte) (int, error) { select {} }

func FuzzReceive(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 2, 'h', 'i'})
	f.Add([]byte{9, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		for {
			k, got, err := receive(r)
			if err != nil {
				return
			}
			if k > exit || len(got) > len(data) {
				t.Fatalf("frame of kind %d with %d bytes out of %d", k, len(got), len(data))
			}
		}
	})
}

func TestArgv(t *testing.T) {
	argv := Config{Number: 3, Memory: 512, Wire: "vb-x", Control: "vc-x", Watchdog: "reset", Disks: []string{"/dev/loop1"}, DiskNames: []string{"/dev/a"}}.Argv()
	for _, want := range []string{"tap,id=wire,ifname=vb-x,script=no,downscript=no", "watchdog=reset"} {
		if !slices.Contains(argv, want) {
			t.Errorf("%q is not in %q", want, argv)
		}
	}
	if all := strings.Join(argv, " "); !strings.Contains(all, "mac=52:54:00:77:00:03") || !strings.Contains(all, "mailha.control=169.254.77.14/30") || !strings.Contains(all, "file=/dev/loop1") || strings.Contains(all, "user,") {
		t.Errorf("got %s", all)
	}
}
