// SPDX-License-Identifier: Apache-2.0

package console_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mailha/mailha/internal/api"
	"github.com/mailha/mailha/resources"
)

// The reference is printed as it is, and is a file that can be used.
func TestReferenceIsPrinted(t *testing.T) {
	printed := run(t, nil, "", "config", "reference")
	if printed.code != 0 || printed.err != "" || printed.out != resources.Reference() {
		t.Errorf("exit code %d, standard error %q, and %d bytes of %d", printed.code, printed.err, len(printed.out), len(resources.Reference()))
	}
	if r := run(t, nil, printed.out, "config", "check", "-"); r.code != 0 || !strings.Contains(r.out, "is good") {
		t.Error(r.text())
	}
	var got struct{ TOML string }
	r := run(t, nil, "", "config", "reference", "-o", "json")
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.code != 0 || got.TOML != resources.Reference() {
		t.Errorf("%v in %+v", err, r)
	}
	if r := run(t, nil, "", "config", "reference", "fence"); r.code != 2 {
		t.Errorf("with an argument: %s", r.text())
	}
}

const agentSays = `<?xml version="1.0" ?>
<resource-agent name="fence_test" shortdesc="a switch" >
<parameters>
  <parameter name="ip" unique="0" required="1"><getopt mixed="-a" /><content type="string" /></parameter>
  <parameter name="lanplus" unique="0" required="0"><getopt mixed="-P" /><content type="boolean" default="0" /></parameter>
</parameters>
<actions>
  <action name="on" automatic="0"/><action name="off" /><action name="reboot" /><action name="status" /><action name="monitor" /><action name="metadata" />
</actions>
</resource-agent>
`

// A file is also checked with what the fence agents of this machine say of themselves.
func TestCheckAsksFenceAgents(t *testing.T) {
	agent := filepath.Join(t.TempDir(), "fence_test")
	if err := os.WriteFile(agent, []byte("#!/bin/sh\ncat <<'EOF'\n"+agentSays+"EOF\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, agent, params string
		code                int
		problem, warning    string
		line                int
	}{
		{"good", agent, `ip = "192.0.2.9", lanplus = true`, 0, "", "", 0},
		{"misspelt", agent, `ip = "192.0.2.9", lanplu = true`, 1, `has no parameter "lanplu"`, "", 10},
		{"missing", agent, `lanplus = true`, 1, `needs parameter "ip"`, "", 6},
		{"not here", "fence_there_is_none", `ip = "192.0.2.9"`, 0, "", "agent fence_there_is_none is not installed on this node", 6},
		{"no agent", "/bin/false", ``, 1, "/bin/false", "", 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "mailha.toml")
			text := fmt.Sprintf("[cluster]\nname = \"x\"\n[[node]]\nname = \"n1\"\n\n[[fence]]\nname = \"pdu\"\nagent = %q\nnodes = \"n1\"\nparameters = { %s }\n", tt.agent, tt.params)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			got := run(t, nil, "", "config", "check", file, "-o", "json")
			var review api.Review
			if err := json.NewDecoder(strings.NewReader(got.out)).Decode(&review); err != nil {
				t.Fatalf("%v in %+v", err, got)
			}
			one := func(of string, all []api.Place, want string) {
				switch {
				case want == "" && len(all) > 0, want != "" && len(all) != 1:
					t.Errorf("%s: got %+v, want %q", of, all, want)
				case want != "" && (!strings.Contains(all[0].What, want) || all[0].Line != tt.line):
					t.Errorf("%s: got %+v, want %q in line %d", of, all[0], want, tt.line)
				}
			}
			one("problems", review.Problems, tt.problem)
			one("warnings", review.Warnings, tt.warning)
			if got.code != tt.code {
				t.Errorf("exit code %d, want %d", got.code, tt.code)
			}
			if said := run(t, nil, "", "config", "check", file).out; strings.Contains(said, "is good") != (tt.problem == "") {
				t.Errorf("said %q", said)
			}
		})
	}
}
