// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"slices"
	"strings"
	"testing"

	"github.com/mailha/mailha/internal/lab"
)

// Postfix may run outside of its unit, because somebody started it by hand, or
// because its master was killed and left children that have clients still.
func TestStrays(t *testing.T) {
	t.Parallel()
	const byHand = "postfix -c " + configDir + " start"
	for _, tt := range []struct {
		name   string
		begin  func(t *testing.T, p *place, r resource)
		script string
	}{
		{"started by hand", func(t *testing.T, p *place, _ resource) { run(t, p.node, byHand) }, ""},
		{"started by hand in other words", func(t *testing.T, p *place, _ resource) {
			run(t, p.node, "ln -s "+configDir+" /root/elsewhere; postfix -c /root/elsewhere/ start")
		}, ""},
		{"started by hand, master killed", func(t *testing.T, p *place, _ resource) {
			run(t, p.node, byHand)
			connect(t, p.Client(), p.node.Addr4().String()).begin("someone@example.test")
			run(t, p.node, "kill -9 $(ps -C master -o pid=)")
		}, ""},
		{"started by hand, configuration removed", func(t *testing.T, p *place, _ resource) {
			run(t, p.node, byHand)
			run(t, p.node, "cp -a "+configDir+" /root/; rm -r "+configDir)
		}, "cp -a /root/postfix-mx /etc/"},
		{"in its unit, master killed", func(t *testing.T, p *place, r resource) {
			r.start(t, p.node)
			connect(t, p.Client(), vip4).begin("someone@example.test")
			run(t, p.node, "kill -9 $(ps -C master -o pid=)")
		}, ""},
		{"moved out of its unit, master killed", func(t *testing.T, p *place, r resource) {
			r.start(t, p.node)
			connect(t, p.Client(), vip4).begin("someone@example.test")
			run(t, p.node, `
				for pid in $(ps -C smtpd -o pid=); do echo $pid >/sys/fs/cgroup/systemd/cgroup.procs; done
				kill -9 $(ps -C master -o pid=)`)
		}, ""},
	} {
		for _, action := range []string{"stop", "start"} {
			t.Run(tt.name+", "+action, func(t *testing.T) {
				p := newPlace(t, lab.Config{Disk: true})
				n, r := p.node, mta()
				tt.begin(t, p, r)
				old := left(t, n)
				for _, c := range []call{{}, recurring} {
					a := r.do(t, n, "monitor", c)
					// systemd may end the children by itself in between.
					if still := left(t, n); a.code == notRunning && holding(still, "process") {
						t.Errorf("not running, says the monitor, but there is\n%s\n%s", strings.Join(still, "\n"), a)
					}
				}
				if tt.script != "" && action == "start" {
					run(t, n, tt.script)
				}
				r.must(t, n, action, call{}, success)
				if action == "start" {
					for _, line := range left(t, n) {
						if strings.HasPrefix(line, "process") && slices.Contains(old, line) {
							t.Errorf("the start left a stray: %s", line)
						}
					}
					r.monitor(t, n, 10)
					r.stop(t, n)
				}
				bare(t, n)
			})
		}
	}
}
