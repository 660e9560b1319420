// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/internal/traffic/ledger"
)

const (
	envNamespace = "TRAFFIC_TEST_OUTSIDE" // the network namespace that the tests were started in
	envCommand   = "TRAFFIC_TEST_COMMAND" // be the command instead of its tests
)

// TestMain moves the whole process into a network namespace of its own, of which nothing stays when it ends.
func TestMain(m *testing.M) {
	if os.Getenv(envCommand) != "" {
		os.Exit(Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	if err := enterNamespace(); err != nil {
		fmt.Fprintf(os.Stderr, "a network namespace is needed, run the tests as root: %v\n", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// enterNamespace unshares this thread and executes the program anew from it, so that all threads are inside, with the
// same process id and open files.
func enterNamespace() error {
	here, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	if outside := os.Getenv(envNamespace); outside != "" {
		if outside == here {
			return fmt.Errorf("still in %s", here)
		}
		return nil
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := loopbackUp(); err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), envNamespace+"="+here))
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("lo up: %w", err)
	}
	return nil
}

// asCommand runs the test binary as the command.
func asCommand(ctx context.Context, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", argv...)
	cmd.Env = append(os.Environ(), envCommand+"=1")
	return cmd
}

func deadline(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// waitUntil polls what gives no event of its own.
func waitUntil(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	ctx := deadline(t, limit)
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for !done() {
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatalf("waited %v in vain until %s", limit, what)
		}
	}
}

func tempLedger(t *testing.T) (path string, l *ledger.Ledger) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "ledger")
	l, err := ledger.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return path, l
}

// records reads a ledger file.
func records[T ledger.Record](t *testing.T, path string) (all []T) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Read(bytes.NewReader(b), func(r T) error {
		all = append(all, r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// lines writes records as the ledgers do.
func lines(t testing.TB, recs ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, r := range recs {
		if err := json.NewEncoder(&b).Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestExitStatus(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, recs ...any) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, lines(t, recs...), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	load := file("load", ledger.Attempt{ID: "r/0", Outcome: ledger.Accepted, Hash: "a"})
	good := file("good", ledger.Arrival{ID: "r/0", Rcpts: []string{"t"}, Hash: "a"})
	bad := file("bad", ledger.Arrival{ID: "r/0", Rcpts: []string{"t"}, Hash: "b"})
	empty := file("empty")
	for _, tt := range []struct {
		args string
		want int
	}{
		{"", exitUsage},
		{"fly", exitUsage},
		{"audit", exitUsage},
		{"audit -h", exitOK},
		{"audit -load " + load + " -sink " + good, exitOK},
		{"audit -load " + load + " -sink " + bad, exitFailed},
		{"audit -load " + load + " -sink " + empty, exitFailed},
		{"audit -load " + load + " -sink " + dir + "/none", exitFailed},
		{"sink -listen 127.0.0.1:0", exitUsage},
		{"sink -h", exitOK},
		{"sink -listen 192.0.2.1:25 -ledger " + dir + "/s", exitFailed},
		{"load -to 127.0.0.1:1 -ledger x -run r", exitUsage},
		{"load -to 127.0.0.1:1 -ledger x -run r -rcpt-domain d -rate 0/s", exitUsage},
		{"load -to 127.0.0.1:1 -ledger x -run r -rcpt-domain d extra", exitUsage},
		{"probe", exitUsage},
		{"probe -icmp nowhere", exitFailed},
		{"hold", exitUsage},
		{"hold -idle 1 -imap 127.0.0.1:1 -users " + dir + "/none", exitFailed},
		{"imap-read -to 127.0.0.1:1 -ledger x", exitUsage},
		{"imap-read -to 127.0.0.1:1 -ledger " + dir + "/r -users " + dir + "/none", exitFailed},
		{"imap-append -to 127.0.0.1:1 -users x -ledger x -run r -rate 0", exitUsage},
		{"imap-append -h", exitOK},
		{"ldap-write -to 127.0.0.1:1 -base x -ledger x -run r -dn y", exitUsage},
		{"ldap-write -to 127.0.0.1:1 -base x -ledger x -run r -dn y -account z -passwords " + dir + "/none", exitFailed},
		{"ldap-read -to 127.0.0.1:1 -ledger x", exitUsage},
		{"ldap-read -to 127.0.0.1:1 -base x -for 100ms -ledger " + dir + "/d", exitFailed},
	} {
		t.Run(tt.args, func(t *testing.T) {
			var out, complaint bytes.Buffer
			got := Main(deadline(t, 10*time.Second), strings.Fields(tt.args), strings.NewReader(""), &out, &complaint)
			if got != tt.want {
				t.Errorf("exit status %d, want %d; said %s%s", got, tt.want, &out, &complaint)
			}
			if got != exitOK && complaint.Len() == 0 {
				t.Error("failed without a word")
			}
		})
	}
}

// shrinkBacklog makes a listener's queue as short as can be.
func shrinkBacklog(conn syscall.RawConn) error {
	var err error
	if cerr := conn.Control(func(fd uintptr) { err = unix.Listen(int(fd), 0) }); cerr != nil {
		return cerr
	}
	return err
}
