// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// An agent may be killed at any moment, as the cluster manager does when its
// time is up. Whatever that leaves, a monitor does not overlook it and a stop
// takes it away.
func TestCutOff(t *testing.T) {
	t.Parallel()
	const agent = "mailha-ocf" // as ps names a link's target
	for _, tt := range []struct {
		name   string
		r      resource
		action string
		signal string
		when   string // a condition on the node
	}{
		{"start, killed", service("slowstart.service"), "start", "KILL", "systemctl is-active slowstart | grep -q activating"},
		{"start, terminated", service("slowstart.service"), "start", "TERM", "systemctl is-active slowstart | grep -q activating"},
		{"drain, killed", mta("drain_timeout", "15s"), "stop", "KILL", "nft list tables | grep -q gate"},
		{"drain, terminated", mta("drain_timeout", "15s"), "stop", "TERM", "nft list tables | grep -q gate"},
		{"stop, killed", service("slowstop.service"), "stop", "KILL", "systemctl is-active slowstop | grep -q deactivating"},
		{"stop, terminated", service("slowstop.service"), "stop", "TERM", "systemctl is-active slowstop | grep -q deactivating"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlace(t, lab.Config{})
			n := p.node
			if tt.action == "stop" {
				tt.r.start(t, n)
			}
			if tt.r.agent == "mta" {
				connect(t, p.Client(), vip4)
			}
			type result struct {
				res lab.Result
				err error
			}
			done := make(chan result, 1)
			go func() {
				argv := []string{"env", "OCF_RESOURCE_INSTANCE=" + tt.r.name, agentsDir + tt.r.agent, tt.action}
				for name, value := range tt.r.params {
					argv = append(argv, name+"="+value)
				}
				res, err := n.Exec(t.Context(), argv...)
				done <- result{res, err}
			}()
			await(t, patience, tt.when, func() bool { return run(t, n, "if "+tt.when+"; then echo yes; fi") == "yes" })
			run(t, n, "kill -"+tt.signal+" $(pidof "+tt.r.agent+" "+agent+")")
			got := <-done
			if tt.signal == "TERM" && (got.err != nil || got.res.ExitCode == success && tt.action == "start") {
				t.Errorf("%v, exit code %d:\n%s", got.err, got.res.ExitCode, indent(got.res.Stderr))
			}
			if found := left(t, n); len(found) > 0 {
				for _, c := range []call{{}, recurring} {
					if a := tt.r.do(t, n, "monitor", c); a.code == notRunning || a.code == success {
						t.Errorf("half of it is here, says nobody:\n%s\n%s", strings.Join(found, "\n"), a)
					}
				}
			}
			tt.r.must(t, n, "stop", call{timeout: 8 * time.Second}, success)
			bare(t, n)
			if tt.r.agent == "mta" {
				tt.r.start(t, n)
				connect(t, p.Client(), vip4).say("QUIT", 221)
				tt.r.stop(t, n)
			}
		})
	}
}
