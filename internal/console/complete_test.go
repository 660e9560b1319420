// SPDX-License-Identifier: Apache-2.0

package console_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/mailha/mailha/internal/api/apitest"
)

// What is completed is what the cluster has.
func TestCompletion(t *testing.T) {
	c := apitest.Serve(t)
	for args, want := range map[string]string{
		"group move ":        "mx box :4",
		"group move mx ":     "n1 n2 :4",
		"group move mx n1 ":  ":4",
		"node standby ":      "n1 n2 :4",
		"resource restart ":  "mx-ip postfix box-ip dovecot :4",
		"explain ":           "box box-ip dovecot mx mx-ip postfix :4",
		"status --output ":   "text json :4",
		"what-if node-down ": "n1 n2 :4",
		"config check ":      "toml :8",
	} {
		words := strings.Fields(args)
		r := run(t, c, "", append(append([]string{"__complete"}, words...), "")...)
		if got := strings.Join(strings.Fields(r.out), " "); r.code != 0 || got != want {
			t.Errorf("%q: %q, want %q (%s)", args, got, want, r.err)
		}
	}
	if r := run(t, nil, "", "__complete", "group", "move", ""); strings.TrimSpace(r.out) != ":4" {
		t.Errorf("without a daemon: %q", r.out)
	}
	// The script for bash is one.
	script := run(t, nil, "", "completion", "bash")
	cmd := exec.CommandContext(t.Context(), "bash", "-n")
	cmd.Stdin = strings.NewReader(script.out)
	if out, err := cmd.CombinedOutput(); err != nil || len(script.out) < 1000 {
		t.Errorf("%v: %s", err, out)
	}
	for _, shell := range []string{"zsh", "fish"} {
		if r := run(t, nil, "", "completion", shell); r.code != 0 || !strings.Contains(r.out, "mailhactl") {
			t.Errorf("%s: %s", shell, r.text())
		}
	}
}
