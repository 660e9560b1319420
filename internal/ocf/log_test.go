// SPDX-License-Identifier: Apache-2.0

package ocf

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailha/mailha/agents"
)

// journaled lists what a call leaves in the journal, without the times.
func journaled(t *testing.T, f *fake, args []string, environ ...string) []string {
	t.Helper()
	// Not t.TempDir: its name may be too long for a socket.
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "socket")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p := program(t, f)
	p.Journal = path
	p.Run(t.Context(), Call{Args: args, Environ: environ, Stdout: io.Discard, Stderr: io.Discard})

	// What was sent is there: a datagram is handed over at once, and in order.
	const end = "END"
	last, err := net.Dial("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer last.Close()
	if _, err := last.Write([]byte(end)); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for buf := make([]byte, 1<<16); ; {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if string(buf[:n]) == end {
			return lines
		}
		var message, rest []string
		for field := range strings.Lines(string(buf[:n])) {
			name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
			switch name {
			case "MESSAGE":
				words := strings.Fields(value)
				message = slices.DeleteFunc(words, func(w string) bool { return strings.HasPrefix(w, "took=") })
			case "PRIORITY", "MAILHA_RESOURCE", "MAILHA_AGENT", "MAILHA_ACTION", "MAILHA_EXIT_CODE":
				rest = append(rest, value)
			}
		}
		lines = append(lines, strings.Join(rest, " ")+" | "+strings.Join(message, " "))
	}
}

// The journal has what happened, and what failed; it has nothing of what was
// only looked at, and not what a probe may find.
func TestJournal(t *testing.T) {
	const name = "OCF_RESOURCE_INSTANCE=p_thing"
	broken := errors.New("first\nsecond")
	for _, tt := range []struct {
		action  string
		f       fake
		environ []string
		want    []string
	}{
		{"start", fake{}, []string{name, good}, []string{"6 p_thing thing start | p_thing: start done:"}},
		{"stop", fake{}, []string{name, good}, []string{"6 p_thing thing stop | p_thing: stop done:"}},
		{"stop", fake{says: "drained"}, []string{name, good}, []string{"6 p_thing thing stop | p_thing: drained", "6 p_thing thing stop | p_thing: stop done:"}},
		{"start", fake{err: broken}, []string{name, good}, []string{"3 p_thing thing start 1 | p_thing: start failed: exit_code=1 reason=first; second"}},
		{"start", fake{}, []string{name}, []string{"3 p_thing thing start 6 | p_thing: start failed: exit_code=6 reason=parameter name: required, but not set"}},
		{"start", fake{panics: true}, []string{name, good}, []string{"3 p_thing thing start 1 | p_thing: start failed: exit_code=1 reason=internal error: a fault of ours; please report it"}},

		{"monitor", fake{}, []string{name, good, recurring}, nil},
		{"monitor", fake{says: "announced"}, []string{name, good, recurring}, []string{"6 p_thing thing monitor | p_thing: announced"}},
		{"monitor", fake{err: agents.ErrNotRunning}, []string{name, good, recurring}, []string{"3 p_thing thing monitor 7 | p_thing: monitor failed: exit_code=7 reason=not running"}},
		{"monitor", fake{err: broken}, []string{name, good, recurring}, []string{"3 p_thing thing monitor 1 | p_thing: monitor failed: exit_code=1 reason=first; second"}},

		{"monitor", fake{}, []string{name, good}, nil},
		{"monitor", fake{err: agents.ErrNotRunning}, []string{name, good}, nil},
		{"monitor", fake{err: agents.ErrInstalled}, []string{name, good}, nil},
		{"monitor", fake{says: "no configuration", err: agents.ErrNotRunning}, []string{name, good}, nil},
		{"monitor", fake{says: "odd", level: slog.LevelWarn, err: agents.ErrNotRunning}, []string{name, good}, []string{"4 p_thing thing monitor | p_thing: odd"}},
		{"monitor", fake{err: broken}, []string{name, good}, []string{"3 p_thing thing monitor 1 | p_thing: monitor failed: exit_code=1 reason=first; second"}},

		{"validate-all", fake{}, []string{name, good}, nil},
		{"promote", fake{}, []string{name, good}, []string{"3 p_thing thing promote 3 | p_thing: promote failed: exit_code=3 reason=no such action: promote"}},
		{"meta-data", fake{}, []string{name, good}, nil},
		{"help", fake{}, nil, nil},
	} {
		t.Run(fmt.Sprint(tt.action, " ", tt.environ, " ", tt.f.says, tt.f.err), func(t *testing.T) {
			if diff := cmp.Diff(tt.want, journaled(t, &tt.f, []string{"thing", tt.action}, tt.environ...)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
