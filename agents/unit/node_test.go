// SPDX-License-Identifier: Apache-2.0

package unit_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/labtest"
)

// node is the machine on which a real systemd runs.
type node struct{ *lab.Node }

func newNode(tb testing.TB) *node {
	tb.Helper()
	return &node{labtest.Up(tb, lab.Config{}).Node("node1")}
}

// address returns the D-Bus address of the node's system bus, from the host.
func (n *node) address(tb testing.TB) string {
	tb.Helper()
	path, err := n.DBusSocket()
	if err != nil {
		tb.Fatal(err)
	}
	return "unix:path=" + path
}

// sh runs a script on the node and returns what it printed.
func (n *node) sh(tb testing.TB, script string) string {
	tb.Helper()
	out, err := n.try(script)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// try is sh for scripts that may fail. It works in a test's clean-up, too.
func (n *node) try(script string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	r, err := n.Exec(ctx, "sh", "-ec", script)
	if err == nil && r.ExitCode != 0 {
		err = fmt.Errorf("exit %d from %s: %s", r.ExitCode, script, r.Stderr)
	}
	return strings.TrimSpace(string(r.Stdout)), err
}
