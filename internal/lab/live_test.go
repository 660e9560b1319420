// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/labtest"
)

// TestMain looks at what the machine has of labs before and after: all tests
// together must leave nothing, nor change the host's own network.
func TestMain(m *testing.M) {
	if name := os.Getenv(ownerEnv); name != "" {
		ownAndHang(name)
	}
	before := traces()
	code := m.Run()
	if after := traces(); after != before {
		fmt.Fprintf(os.Stderr, "FAIL: tests left something behind.\nbefore:\n%s\nafter:\n%s\n", before, after)
		code = 1
	}
	os.Exit(code)
}

func TestNodesAreRealSystems(t *testing.T) {
	t.Parallel()
	l := labtest.Up(t, lab.Config{Nodes: 2})
	for _, n := range l.Nodes() {
		ownGroups(t, l, n)
		for _, tt := range []struct {
			name, want string
			argv       []string
		}{
			{"booted", "running", argv("systemctl is-system-running")},
			{"PID 1", "systemd", argv("cat /proc/1/comm")},
			{"host name", n.Name(), argv("hostname")},
			{"no failed units", "", argv("systemctl --failed --no-legend --plain")},
			{"its own address", n.Addr4().String() + "/24", argv("ip -4 -o addr show eth0")},
			{"its own IPv6 address", n.Addr6().String() + "/64", argv("ip -6 -o addr show eth0")},
			{"peer by name", "", argv("ping -4 -c1 -w5 -q node1")},
			{"peer by name, IPv6", "", argv("ping -6 -c1 -w5 -q node2")},
			{"client by name", "", argv("ping -4 -c1 -w5 -q client")},
			{"no way out", "", argv("ip route show default")},
			{"sysctls of its network can be set", "2", []string{"sh", "-c", "echo 2 >/proc/sys/net/ipv4/conf/eth0/arp_announce; cat /proc/sys/net/ipv4/conf/eth0/arp_announce"}},
			{"nftables works", "", argv("nft add table netdev t")},
		} {
			out, err := n.Output(t.Context(), tt.argv...)
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			if !strings.Contains(out, tt.want) || tt.want == "" && strings.Contains(out, "default") {
				t.Errorf("%s: %s: %s: got %q, want %q", n.Name(), tt.name, tt.argv, out, tt.want)
			}
		}
		for _, unit := range []string{"corosync", "pacemaker", "postfix", "apt-daily.timer", "e2scrub_all.timer"} {
			r, err := n.Exec(t.Context(), "systemctl", "is-active", unit)
			if err != nil || r.ExitCode == 0 {
				t.Errorf("%s: %s has started by itself: %+v, %v", n.Name(), unit, r, err)
			}
		}
	}
}

// ownGroups fails if the node shares with others the group from which its
// systemd makes and removes those of its services.
func ownGroups(t *testing.T, l *lab.Lab, n *lab.Node) {
	t.Helper()
	pid, err := n.LeaderPID()
	if err != nil {
		t.Fatal(err)
	}
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(groups)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if (f[1] == "name=systemd" || f[1] == "") && !strings.HasPrefix(f[2], "/mailha-lab/"+l.Name()+"/"+n.Name()+"/") {
			t.Errorf("%s is in group %q", n.Name(), line)
		}
	}
}

func TestExec(t *testing.T) {
	t.Parallel()
	l := labtest.Up(t, lab.Config{})
	n := l.Node("node1")

	t.Run("streams and exit code", func(t *testing.T) {
		r, err := n.Exec(t.Context(), "sh", "-c", "echo out; echo err >&2; exit 7")
		if want := (lab.Result{Stdout: "out\n", Stderr: "err\n", ExitCode: 7}); err != nil || r != want {
			t.Errorf("got %+v, %v; want %+v", r, err, want)
		}
	})
	t.Run("arguments pass unchanged", func(t *testing.T) {
		odd := "a b\t$HOME 'x' \"y\" \\ * \nlast"
		r, err := n.Exec(t.Context(), "printf", "%s", odd)
		if err != nil || r.Stdout != odd {
			t.Errorf("got %q, %v; want %q", r.Stdout, err, odd)
		}
	})
	t.Run("no such program", func(t *testing.T) {
		r, err := n.Exec(t.Context(), "nonesuch")
		if err != nil || r.ExitCode != 127 {
			t.Errorf("got %+v, %v; want exit code 127", r, err)
		}
		if _, err := n.Output(t.Context(), "nonesuch"); err == nil || !strings.Contains(err.Error(), "nonesuch") {
			t.Errorf("Output: error %v does not name the program", err)
		}
	})
	t.Run("much output", func(t *testing.T) {
		r, err := n.Exec(t.Context(), "head", "-c", "3000000", "/dev/zero")
		if err != nil || len(r.Stdout) != 3000000 {
			t.Errorf("got %d bytes, %v", len(r.Stdout), err)
		}
	})
	t.Run("a deadline ends the process itself", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := n.Exec(ctx, "sleep", "4242"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
		if r, err := n.Exec(t.Context(), "pgrep", "-f", "sleep 4242"); err != nil || r.ExitCode != 1 {
			t.Errorf("the process still runs: %+v, %v", r, err)
		}
	})
	t.Run("pipes", func(t *testing.T) {
		cmd, err := n.Command(t.Context(), "cat")
		if err != nil {
			t.Fatal(err)
		}
		in, err1 := cmd.StdinPipe()
		out, err2 := cmd.StdoutPipe()
		if err := errors.Join(err1, err2, cmd.Start()); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 5)
		for _, word := range []string{"hello", "there"} { // it runs in between
			io.WriteString(in, word)
			if _, err := io.ReadFull(out, buf); err != nil || string(buf) != word {
				t.Errorf("got %q, %v; want %q", buf, err, word)
			}
		}
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	t.Run("system bus", func(t *testing.T) {
		path, err := n.DBusSocket()
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(2 * time.Second))
		io.WriteString(conn, "\x00AUTH EXTERNAL 30\r\n") // user 0, in hexadecimal
		reply := make([]byte, 3)
		if _, err := io.ReadFull(conn, reply); err != nil || string(reply) != "OK " {
			t.Errorf("the bus said %q, %v", reply, err)
		}
	})
	t.Run("off", func(t *testing.T) {
		if err := n.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Exec(t.Context(), "true"); !errors.Is(err, lab.ErrNotRunning) {
			t.Errorf("got %v, want ErrNotRunning", err)
		}
		if _, err := n.DBusSocket(); !errors.Is(err, lab.ErrNotRunning) {
			t.Errorf("got %v, want ErrNotRunning", err)
		}
	})
}

func TestPush(t *testing.T) {
	t.Parallel()
	l := labtest.Up(t, lab.Config{})
	n := l.Node("node1")
	check := func(path, want, mode string) {
		t.Helper()
		out, err := n.Output(t.Context(), "sh", "-c", "cat "+path+" && stat -c %a "+path)
		if err != nil || out != want+mode {
			t.Errorf("%s: got %q, %v; want %q", path, out, err, want+mode)
		}
	}
	if err := n.Push("/etc/a/b/file", []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.Push("/run/file", []byte("y\n"), 0o777); err != nil { // a tmpfs of the node
		t.Fatal(err)
	}
	check("/etc/a/b/file", "x\n", "600")
	check("/run/file", "y\n", "777")
	if _, err := os.Stat("/etc/a/b/file"); err == nil {
		t.Fatal("the file is on the host")
	}

	// /var/run is an absolute link, which on the host's side leads to the host.
	if err := n.Push("/var/run/mailha-escape", nil, 0o600); err == nil {
		t.Error("a link out of the node was followed")
	}
	if err := n.Push("/../../../../../../tmp/mailha-escape", nil, 0o600); err == nil {
		t.Error("a path out of the node was followed")
	}

	if err := n.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.Push("/etc/off", []byte("z\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("/etc/off", "z\n", "644")
	check("/etc/a/b/file", "x\n", "600") // survived the power cut
	if r, err := n.Exec(t.Context(), "test", "-e", "/run/file"); err != nil || r.ExitCode == 0 {
		t.Errorf("memory survived the power cut: %+v, %v", r, err)
	}
}

func TestPower(t *testing.T) {
	t.Parallel()
	l := labtest.Up(t, lab.Config{Nodes: 2})
	victim, other := l.Node("node1"), l.Node("node2")
	ctx := t.Context()
	hears := func(want bool) bool {
		patience := map[bool]string{true: "10", false: "1"}[want] // seconds
		r, err := other.Exec(ctx, "ping", "-c1", "-i0.2", "-w"+patience, "-q", victim.Name())
		if err != nil {
			t.Fatal(err)
		}
		return r.ExitCode == 0
	}
	length := func() int {
		b, err := os.ReadFile(l.ShareDir() + "/count")
		if err != nil {
			t.Fatal(err)
		}
		return len(b)
	}
	counts := func(want bool) bool { // whether a program of the victim goes on
		patience := map[bool]time.Duration{true: 10 * time.Second, false: 100 * time.Millisecond}[want]
		end := time.After(patience)
		for first, tick := length(), time.Tick(10*time.Millisecond); length() == first; {
			select {
			case <-end:
				return false
			case <-tick:
			}
		}
		return true
	}
	startCounting := func() {
		t.Helper()
		_, err := victim.Output(ctx, "systemd-run", "--quiet", "--unit=counter", "sh", "-c",
			"while :; do echo >>"+lab.SharePath+"/count; sleep 0.01; done")
		if err == nil {
			_, err = victim.Output(ctx, "sh", "-c", "until test -s "+lab.SharePath+"/count; do sleep 0.01; done")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	expect := func(step string, runs, heard, counting bool) {
		t.Helper()
		if got := [3]bool{victim.Running(), hears(heard), counts(counting)}; got != [3]bool{runs, heard, counting} {
			t.Fatalf("%s: running, heard and counting are %v, want %v", step, got, [3]bool{runs, heard, counting})
		}
	}
	do := func(step func(context.Context) error) {
		t.Helper()
		if err := step(ctx); err != nil {
			t.Fatal(err)
		}
	}
	startCounting()
	expect("up", true, true, true)
	do(victim.CutLink)
	expect("link cut", true, false, true)
	do(victim.MendLink)
	expect("link mended", true, true, true)
	do(victim.Pause)
	expect("paused", true, true, false) // the kernel answers pings
	do(victim.Resume)
	expect("resumed", true, true, true)

	leader, err := victim.LeaderPID()
	if err != nil {
		t.Fatal(err)
	}
	do(victim.Kill)
	if unix.Kill(leader, 0) == nil {
		t.Error("killed, but its PID 1 is there")
	}
	expect("killed", false, false, false)
	do(victim.Kill) // again
	for _, f := range []func(context.Context) error{victim.Pause, victim.Resume, victim.CutLink, victim.MendLink} {
		if err := f(ctx); !errors.Is(err, lab.ErrNotRunning) {
			t.Errorf("on a node that is off: got %v, want ErrNotRunning", err)
		}
	}
	do(victim.Start)
	do(victim.Start) // again
	expect("started", true, true, false)
	startCounting()

	do(victim.Pause)
	do(victim.Kill)
	expect("killed while paused", false, false, false)
	do(victim.Start)
	startCounting()
	do(victim.PowerOff)
	expect("powered off", false, false, false)
	do(victim.Start)
	if out, err := victim.Output(ctx, "journalctl", "--list-boots", "--no-pager"); err != nil || len(strings.Split(out, "\n")) < 4 {
		t.Errorf("journals of earlier boots are gone: %q, %v", out, err)
	}

	// It switches itself off.
	victim.Exec(ctx, "systemctl", "poweroff", "--force", "--force")
	untilOff(t, victim)
	do(victim.Start)
	expect("started after its own power off", true, true, false)
	if _, err := victim.Output(ctx, "ip", "link", "del", "eth0"); err != nil {
		t.Fatal(err)
	}
	if err := victim.CutLink(ctx); err == nil {
		t.Error("a wire that is not there was cut")
	}
	do(victim.Kill)
	do(victim.Start)
	expect("killed without a wire, and started", true, true, false)
}

// untilOff waits for a node that goes off by itself.
func untilOff(t *testing.T, n *lab.Node) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for tick := time.Tick(10 * time.Millisecond); n.Running(); {
		select {
		case <-deadline:
			t.Fatalf("%s did not go off", n.Name())
		case <-tick:
		}
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	l := labtest.Up(t, lab.Config{})
	ctx := t.Context()
	client := l.Client()
	r, err := client.Exec(ctx, "sh", "-c", "ip -o addr show eth0; exit 3")
	if err != nil || r.ExitCode != 3 || !strings.Contains(r.Stdout, "10.77.0.100/24") || !strings.Contains(r.Stdout, "fd77::100/64") {
		t.Errorf("client: got %+v, %v", r, err)
	}

	// A service in the node, a socket of ours in the client's network.
	cmd, err := l.Node("node1").Command(ctx, "nc", "-6", "-l", "2525")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = strings.NewReader("220 hello\r\n")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var got string
	err = client.Do(func() error {
		conn, err := dialUntil(ctx, "[fd77::11]:2525")
		if err != nil {
			return err
		}
		defer conn.Close()
		buf := make([]byte, 64)
		size, err := conn.Read(buf)
		got = string(buf[:size])
		return err
	})
	if err != nil || got != "220 hello\r\n" {
		t.Errorf("through the client: got %q, %v", got, err)
	}
	cmd.Process.Kill()
	cmd.Wait()

	rival, err := l.AddHost(ctx, "rival", l.Node("node1").Addr4())
	if err != nil {
		t.Fatal(err)
	}
	if out, err := rival.Output(ctx, "ip", "-o", "addr", "show", "eth0"); err != nil || !strings.Contains(out, "10.77.0.11/24") {
		t.Errorf("rival: got %q, %v", out, err)
	}
	for _, name := range []string{"rival", "node1", "lan", "", "a-b", "../x", "nametoolongforit"} {
		if _, err := l.AddHost(ctx, name); err == nil {
			t.Errorf("host %q: no error", name)
		}
	}
	if l.Host("rival") == nil || l.Host("nobody") != nil || l.Host("lan") != nil {
		t.Error("Host finds what it should not or does not find what it should")
	}
}

// dialUntil dials until the listener is there.
func dialUntil(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			return conn, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-tick.C:
		}
	}
}

func argv(s string) []string { return strings.Fields(s) }
