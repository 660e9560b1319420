// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"strings"
	"testing"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
)

const agentsDir = "/usr/lib/ocf/resource.d/mailha/"

var agents = []string{"vip", "mta", "internet-agent", "store", "directory", "service", "filesystem"}

// ocf-tester is the resource-agents project's own test of an agent.
func TestOCFTester(t *testing.T) {
	p := newStore(t, lab.Config{Disks: 2, Disk: true, Nodes: 2})
	n, door := p.node, p.Nodes()[1]
	furnishReplica(t, n, 1, 1)
	furnishFront(t, door)
	for _, tt := range []struct {
		name    string
		r       resource
		beneath resource // has the addresses
		n       *lab.Node
	}{
		{name: "both families", r: vip(), n: n},
		{name: "mta", r: resource{"mta", "mx", params{"config_dir": configDir}}, n: n},
		{name: "mta with addresses", r: mta(), n: n},
		{name: "mta behind addresses", r: sharing(mta()), beneath: vip(), n: n},
		{name: "store", r: resource{"store", "mailboxes", params{"config_dir": storeConfig, "mail_dir": storeDir}}, n: n},
		{name: "store with addresses", r: store(), n: n},
		{name: "directory", r: directory("ip", ""), n: n},
		{name: "directory with addresses", r: directory(), n: n},
		{name: "store behind addresses", r: sharing(store()), beneath: vip(), n: n},
		{name: "directory behind addresses", r: sharing(directory()), beneath: vip(), n: n},
		{name: "front door with addresses", r: internet(), n: door},
		{name: "front door behind addresses", r: sharing(internet()), beneath: vip("ip", scenario.FrontAddr4+" "+scenario.FrontAddr6), n: door},
		{name: "file system", r: fileSystem("device", lab.Disk(2)), n: n},
		{name: "service", r: resource{"service", "greylist", params{"unit": "postgrey.service", "ports": "10023"}}, n: n},
		{name: "service with addresses", r: service("postgrey.service", "ports", "10023"), n: n},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := tt.n
			if tt.beneath.agent != "" {
				tt.beneath.start(t, n)
			}
			argv := []string{"ocf-tester", "-n", tt.r.name}
			for name, value := range tt.r.params {
				argv = append(argv, "-o", name+"="+value)
			}
			res, err := n.Exec(t.Context(), append(argv, agentsDir+tt.r.agent)...)
			if err != nil || res.ExitCode != 0 || !strings.Contains(res.Stdout, "passed all tests") {
				t.Errorf("%v, exit code %d:\n%s\n%s", err, res.ExitCode, res.Stdout, res.Stderr)
			}
			if tt.beneath.agent != "" {
				tt.beneath.stop(t, n)
			}
			bare(t, n)
		})
	}
}

// The metadata has to be there for whoever asks, whatever is missing.
func TestMetadata(t *testing.T) {
	n := newPlace(t, lab.Config{}).node
	for _, agent := range agents {
		t.Run(agent, func(t *testing.T) {
			res, err := n.Exec(t.Context(), "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--",
				"env", "-i", agentsDir+agent, "meta-data")
			if err != nil || res.ExitCode != 0 || res.Stderr != "" {
				t.Fatalf("%v, exit code %d: %s", err, res.ExitCode, res.Stderr)
			}
			file := "/tmp/" + agent + ".xml"
			if err := n.Push(file, []byte(res.Stdout), 0o644); err != nil {
				t.Fatal(err)
			}
			for _, tt := range []struct{ name, script string }{
				// As ocf-tester does it.
				{"DTD", `cd /usr/share/resource-agents && xmllint --noout --valid - <` + file},
				// This schema knows API 1.0 only, and unlike a DTD nothing can be
				// added to it: what 1.1 brought is left out for it.
				{"RNG of API 1.0", `cd /usr/share/resource-agents && sed 's/ reloadable="[01]"//; s/ unique-group="[^"]*"//' ` + file +
					` | xmllint --nowarning --noout --relaxng metadata.rng -`},
				// Newer releases of Pacemaker than Debian 12's 2.1.5 bring the schema of
				// API 1.1 along.
				{"RNG of API 1.1", `for rng in /usr/share/pacemaker/api/ocf-ra-*.rng; do
					[ ! -e $rng ] || xmllint --nowarning --noout --relaxng $rng ` + file + `; done`},
				{"Pacemaker", `crm_resource --show-metadata ocf:mailha:` + agent + ` | cmp - ` + file},
				{"crmsh", `crm ra info ocf:mailha:` + agent + ` | grep -q '^drain_timeout\|^refresh_interval\|^kill_users'`},
			} {
				if res, err := n.Exec(t.Context(), "bash", "-c", "set -o pipefail; "+tt.script); err != nil || res.ExitCode != 0 {
					t.Errorf("%s: %v, exit code %d: %s", tt.name, err, res.ExitCode, res.Stderr)
				}
			}
		})
	}
}
