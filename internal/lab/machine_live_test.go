// SPDX-License-Identifier: Apache-2.0

//go:build machines

package lab_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/labtest"
)

// A virtual machine is a node like any other, beside a container on the same network.
func TestMachine(t *testing.T) {
	l := labtest.Up(t, lab.Config{Nodes: 2, Machines: 1, Disk: true})
	m, c := l.Nodes()[0], l.Nodes()[1]
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if !m.Virtual() || c.Virtual() {
		t.Fatalf("virtual: %t, %t", m.Virtual(), c.Virtual())
	}
	output := func(n *lab.Node, argv ...string) string {
		t.Helper()
		began := time.Now()
		out, err := n.Output(ctx, argv...)
		if err != nil {
			t.Fatal(err)
		}
		if n == m {
			t.Logf("%.3f s: %s", time.Since(began).Seconds(), strings.Join(argv, " "))
		}
		return out
	}
	t.Run("commands", func(t *testing.T) {
		r, err := m.Exec(ctx, "sh", "-c", "echo out; echo err >&2; exit 3")
		if err != nil || r != (lab.Result{Stdout: "out\n", Stderr: "err\n", ExitCode: 3}) {
			t.Errorf("got %+v, %v", r, err)
		}
		if r, err := m.Exec(ctx, "no-such-program"); err != nil || r.ExitCode != 127 {
			t.Errorf("no program: got %+v, %v", r, err)
		}
		if _, err := m.Exec(ctx, "sh", "-c", "kill -9 $$"); err == nil {
			t.Error("death by a signal is no error")
		}
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		if _, err := m.Exec(short, "sleep", "4321"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if r, err := m.Exec(ctx, "sh", "-c", "while pgrep -f 'sleep [4]321'; do sleep 0.1; done"); err != nil || r.ExitCode != 0 {
			t.Errorf("got %+v, %v", r, err)
		}
		if got := output(m, "hostname"); got != "node1" {
			t.Errorf("host name %q", got)
		}
	})
	t.Run("nothing is the host's", func(t *testing.T) {
		if _, err := m.LeaderPID(); !errors.Is(err, lab.ErrVirtual) {
			t.Errorf("got %v", err)
		}
		if _, err := m.DBusSocket(); !errors.Is(err, lab.ErrVirtual) {
			t.Errorf("got %v", err)
		}
		if out := output(m, "ip", "-o", "link"); strings.Contains(out, "eth1") || !strings.Contains(out, "eth0") {
			t.Errorf("links: %s", out)
		}
		if out := output(m, "date", "-s", "+1 hour"); out == "" {
			t.Error("no date")
		}
		if mine, its := time.Now().Hour(), output(m, "date", "+%H"); its == time.Now().UTC().Format("15") {
			t.Errorf("the machine has the host's clock: %s, %d", its, mine)
		}
	})
	t.Run("files", func(t *testing.T) {
		if err := m.Push("/root/a/b", []byte("text\n"), 0o640); err != nil {
			t.Fatal(err)
		}
		if got := output(m, "sh", "-c", "cat /root/a/b; stat -c %a /root/a/b"); got != "text\n640" {
			t.Errorf("got %q", got)
		}
		if err := os.WriteFile(l.ShareDir()+"/shared", []byte("by the host"), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := output(m, "cat", "/lab/shared"); got != "by the host" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("network", func(t *testing.T) {
		output(m, "ping", "-c", "1", "-W", "2", c.Addr4().String())
		output(c, "ping", "-c", "1", "-W", "2", m.Addr6().String())
		if err := m.CutLink(ctx); err != nil {
			t.Fatal(err)
		}
		if r, err := c.Exec(ctx, "ping", "-c", "1", "-W", "1", m.Addr4().String()); err != nil || r.ExitCode == 0 {
			t.Errorf("its cable is cut: got %+v, %v", r, err)
		}
		if got := output(m, "cat", "/sys/class/net/eth0/carrier"); got != "0" {
			t.Errorf("carrier %s", got)
		}
		if err := m.MendLink(ctx); err != nil {
			t.Fatal(err)
		}
		output(c, "ping", "-c", "3", "-W", "2", m.Addr4().String())
	})
	t.Run("shared disk", func(t *testing.T) {
		output(m, "sh", "-euc", "mount "+lab.DiskPath+" /mnt; echo from the machine >/mnt/file; umount /mnt")
		if got := output(c, "sh", "-euc", "mount "+lab.DiskPath+" /mnt; cat /mnt/file; echo from the container >/mnt/file; umount /mnt"); got != "from the machine" {
			t.Errorf("got %q", got)
		}
		if got := output(m, "sh", "-euc", "mount "+lab.DiskPath+" /mnt; cat /mnt/file"); got != "from the container" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("power", func(t *testing.T) {
		output(m, "sh", "-c", "echo kept >/root/kept; sync")
		if err := m.Kill(ctx); err != nil {
			t.Fatal(err)
		}
		if m.Running() {
			t.Fatal("it runs")
		}
		if _, err := m.Exec(ctx, "true"); !errors.Is(err, lab.ErrNotRunning) {
			t.Errorf("got %v", err)
		}
		// It had the disk mounted.
		began := time.Now()
		output(c, "sh", "-euc", "mount "+lab.DiskPath+" /mnt; umount /mnt")
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("mounted after %s: the dead machine's mark was not cleared", took)
		}
		if err := m.Push("/root/off", []byte("while off"), 0o644); err != nil {
			t.Fatal(err)
		}
		began = time.Now()
		if err := m.Start(ctx); err != nil {
			t.Fatal(err)
		}
		t.Logf("%.1f s: boot", time.Since(began).Seconds())
		if got := output(m, "cat", "/root/kept", "/root/off"); got != "kept\nwhile off" {
			t.Errorf("got %q", got)
		}
		if err := m.PowerOff(ctx); err != nil {
			t.Fatal(err)
		}
		if journal, err := m.Journal(ctx, 1000); err != nil || !strings.Contains(journal, "Reached target") {
			t.Errorf("journal of %d bytes, %v", len(journal), err)
		}
	})
}
