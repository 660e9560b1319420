// SPDX-License-Identifier: Apache-2.0

package lab_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/labtest"
)

// What was done to one node is there on others from the start, what was removed is not,
// and each is itself all the same.
func TestLayers(t *testing.T) {
	t.Parallel()
	var layers []string
	keep := func(script string) {
		t.Helper()
		l := labtest.Up(t, lab.Config{Layers: layers})
		n := l.Nodes()[0]
		if _, err := n.Output(t.Context(), "sh", "-euc", script); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "layer")
		if err := n.Keep(t.Context(), dir); !errors.Is(err, lab.ErrRunning) {
			t.Errorf("the node runs: %v", err)
		}
		if err := n.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := n.Keep(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		layers = append(layers, dir)
	}
	keep(`echo one >/etc/one; echo one >/etc/both; rm /etc/issue; rm -r /etc/postfix; mkdir /etc/postfix; touch /etc/postfix/new; install -o postfix -m 0640 /dev/null /etc/owned`)
	keep(`test "$(cat /etc/both)" = one; echo two >/etc/both; rm /etc/one; logger -t layered said`)
	l := labtest.Up(t, lab.Config{Nodes: 2, Layers: layers})
	for _, n := range l.Nodes() {
		for _, tt := range []struct{ script, want string }{
			{"cat /etc/both", "two"},
			{"ls /etc/one /etc/issue 2>/dev/null || true", ""},
			{"ls /etc/postfix", "new"},
			{"stat -c '%U %a' /etc/owned", "postfix 640"},
			{"cat /etc/hostname", n.Name()},
			{"grep -c node2 /etc/hosts", "2"},
			{"journalctl -q -t layered -o cat", ""},
			{"systemctl is-system-running", "running"},
			{"test ! -e /etc/own; echo " + n.Name() + " >/etc/own; cat /etc/own", n.Name()},
		} {
			if got, err := n.Output(t.Context(), "sh", "-euc", tt.script); err != nil || got != tt.want {
				t.Errorf("%s: %s: got %q, %v; want %q", n.Name(), tt.script, got, err, tt.want)
			}
		}
	}
}
