// SPDX-License-Identifier: Apache-2.0

package resources_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailha/mailha/resources"
)

const base = `[cluster]
name = "mail"
[[node]]
name = "n1"
address = "192.0.2.1"
[[node]]
name = "n2"
address = "192.0.2.2"
[[node]]
name = "n3"
address = "192.0.2.3"
[[group]]
name = "mail"
nodes = ["n1", "n2"]
[[group]]
name = "news"
[[resource]]
name = "ip"
kind = "vip"
group = "mail"
params.ip = "192.0.2.20"
[[resource]]
name = "mta"
kind = "mta"
group = "mail"
after = "ip"
params.drain_timeout = "20s"
[[resource]]
name = "innd"
kind = "service"
group = "news"
params.unit = "innd.service"
`

func TestDiff(t *testing.T) {
	for _, tt := range []struct {
		name     string
		replace  []string // old, new, …
		want     string
		opposite string
	}{
		{"nothing", []string{`[[node]]`, "# a comment\n[[node]]", `"ip"`, `'ip'`}, "", ""},
		{"a default said", []string{`[[node]]`, "[etcd]\nheartbeat = '100ms'\n[[node]]", `"20s"`, `"20s"
params.cert_days = 14`}, "", ""},
		{"a fence device", []string{`[[group]]
name = "mail"`, `[[fence]]
name = "pdu"
agent = "fence_apc"
ports = { n1 = 3 }
[[group]]
name = "mail"`}, `adjust fence device "pdu" is new: it is checked, and used from now on`, `adjust fence device "pdu" is gone: it is not used any more`},
		{"cluster", []string{`"mail"
[[node]]
name = "n1"`, `"mial"
lease = "20s"
margin = "1s"
tls_dir = "/etc/tls"
[etcd]
port = 3379
heartbeat = "50ms"
[heartbeat]
interval = "100ms"
port = 3382
[watchdog]
mode = "auto"
[api]
metrics = "127.0.0.1:9418"
[[node]]
name = "n1"`},
			`refuse the cluster's name cannot change from "mail" to "mial": all that the cluster knows is kept under it
refuse port of [etcd] cannot change while mailhad runs: stop it on every node, change the file on all of them, start it again
refuse port of [heartbeat] cannot change while mailhad runs: stop it on every node, change the file on all of them, start it again
later heartbeat, lease, margin and tls_dir: each node's mailhad goes by the new value after its next start
later mode of [watchdog]: each node's mailhad goes by the new value after its next start
adjust interval and suspect of [heartbeat]: as the new file has it from now on
adjust metrics of [api]: as the new file has it from now on`,
			`refuse the cluster's name cannot change from "mial" to "mail": all that the cluster knows is kept under it
refuse port of [etcd] cannot change while mailhad runs: stop it on every node, change the file on all of them, start it again
refuse port of [heartbeat] cannot change while mailhad runs: stop it on every node, change the file on all of them, start it again
later heartbeat, lease, margin and tls_dir: each node's mailhad goes by the new value after its next start
later mode of [watchdog]: each node's mailhad goes by the new value after its next start
adjust interval and suspect of [heartbeat]: as the new file has it from now on
adjust metrics of [api]: as the new file has it from now on`},
		{"nodes", []string{`192.0.2.2"`, `192.0.2.2"
[[node]]
name = "n4"
address = "192.0.2.4"`, `"192.0.2.3"`, `["192.0.2.3", "198.51.100.3"]
witness = true`},
			`adjust node "n4" is new: it takes part once it has joined
adjust node "n3" only votes from now on
adjust node "n3" is reached at other addresses
move group "news" may no longer run on node "n3": it moves if it is there
adjust group "news": nodes as the new file has it from now on`,
			`adjust node "n3" may run groups from now on
adjust node "n3" is reached at other addresses
adjust node "n4" is no longer of the cluster and runs nothing; when it is stopped: mailhactl cluster remove-member n4
move group "news" may no longer run on node "n4": it moves if it is there
adjust group "news": nodes as the new file has it from now on`},
		{"another first address", []string{`192.0.2.3"`, `192.0.2.33"`},
			`refuse the first address of node "n3" cannot change: the other members of etcd know it by that; take the node out, apply that, and let it join anew (docs/mailhad.md, The file)`,
			`refuse the first address of node "n3" cannot change: the other members of etcd know it by that; take the node out, apply that, and let it join anew (docs/mailhad.md, The file)`},
		{"a group's settings", []string{`["n1", "n2"]`, `["n2", "n3"]
apart_from = "news"
weight = 5
threshold = 4`},
			`move group "mail" may no longer run on node "n1": it moves if it is there
adjust group "mail": nodes, apart_from and weight as the new file has it from now on
adjust resource "ip": threshold as the new file has it from now on
adjust resource "mta": threshold as the new file has it from now on
adjust group "news": apart_from as the new file has it from now on`,
			`move group "mail" may no longer run on node "n3": it moves if it is there
adjust group "mail": nodes, apart_from and weight as the new file has it from now on
adjust resource "ip": threshold as the new file has it from now on
adjust resource "mta": threshold as the new file has it from now on
adjust group "news": apart_from as the new file has it from now on`},
		{"another group", []string{`name = "news"`, `name = "usenet"`, `group = "news"`, `group = "usenet"`},
			`refuse resource "innd" cannot go from group "news" to group "usenet" at once: apply a file without it, and this one when it is stopped
start group "usenet" is new: it is started
stop group "news" is gone: it is stopped`,
			`refuse resource "innd" cannot go from group "usenet" to group "news" at once: apply a file without it, and this one when it is stopped
start group "news" is new: it is started
stop group "usenet" is gone: it is stopped`},
		{"resources", []string{`kind = "mta"
group = "mail"`, `kind = "mta"
group = "news"`, `after = "ip"`, ``, `name = "innd"`, `name = "leafnode"`},
			`refuse resource "mta" cannot go from group "mail" to group "news" at once: apply a file without it, and this one when it is stopped
start resource "leafnode" is new: it is started where group "news" runs
stop resource "innd" is gone: it is stopped`, "-"},
		{"a new group", []string{`[[resource]]
name = "ip"`, `[[group]]
name = "web"
[[resource]]
name = "ip2"
kind = "vip"
group = "web"
params.ip = "192.0.2.21"
[[resource]]
name = "nginx"
kind = "service"
group = "web"
params.unit = "nginx.service"
[[resource]]
name = "ip"`}, `start group "web" is new: it is started with ip2 and nginx`, `stop group "web" is gone: it is stopped with ip2 and nginx`},
		{"parameters", []string{`"192.0.2.20"`, `"192.0.2.21"
params.probe_count = 5`, `"20s"`, `"30s"
params.cert_days = 7
standby = "warm"
on_failure = "move"
stop_timeout = "2m"
monitor = [{ depth = 10, interval = "0s"}]`},
			`restart resource "ip" is restarted: ip cannot change while it runs
adjust resource "mta" takes cert_days and drain_timeout without a restart
adjust resource "mta" is started on the nodes that do not own group "mail"
adjust resource "mta": on_failure, stop_timeout and monitor as the new file has it from now on`,
			`restart resource "ip" is restarted: ip cannot change while it runs
adjust resource "mta" takes cert_days and drain_timeout without a restart
adjust resource "mta" is stopped on the nodes that do not own group "mail"
adjust resource "mta": on_failure, stop_timeout and monitor as the new file has it from now on`},
		{"a kind", []string{`kind = "mta"`, `kind = "service"
params.unit = "exim.service"`}, `restart resource "mta" is stopped as a mta and started as a service`, `restart resource "mta" is stopped as a service and started as a mta`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := base
			for i := 0; i < len(tt.replace); i += 2 {
				if !strings.Contains(text, tt.replace[i]) {
					t.Fatalf("there is no %q", tt.replace[i])
				}
				text = strings.Replace(text, tt.replace[i], tt.replace[i+1], 1)
			}
			before, after := parse(t, base), parse(t, text)
			if diff := cmp.Diff(tt.want, sentences(resources.Diff(before, after, kinds()))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if tt.opposite == "-" {
				return
			}
			if diff := cmp.Diff(tt.opposite, sentences(resources.Diff(after, before, kinds()))); diff != "" {
				t.Errorf("the other way round (-want +got)\n%s", diff)
			}
		})
	}
}

func sentences(changes []resources.Change) string {
	var lines []string
	for _, c := range changes {
		lines = append(lines, fmt.Sprint(c.Effect, " ", c.Text))
	}
	return strings.Join(lines, "\n")
}
