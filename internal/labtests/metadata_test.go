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
	t.Parallel()
	type row struct {
		name    string
		r       resource
		beneath resource // has the addresses
	}
	for name, tt := range map[string]struct {
		kind    layer
		furnish func(testing.TB, *lab.Node)
		rows    []row
	}{
		"a mail transfer agent's node": {withMTA, func(testing.TB, *lab.Node) {}, []row{
			{name: "both families", r: vip()},
			{name: "mta", r: resource{"mta", "mx", params{"config_dir": configDir}}},
			{name: "mta with addresses", r: mta()},
			{name: "mta behind addresses", r: sharing(mta()), beneath: vip()},
			{name: "file system", r: fileSystem("device", lab.Disk(2))},
			{name: "service", r: resource{"service", "greylist", params{"unit": "postgrey.service", "ports": "10023"}}},
			{name: "service with addresses", r: service("postgrey.service", "ports", "10023")},
		}},
		"a store's node": {withStore, furnishStore, []row{
			{name: "store", r: resource{"store", "mailboxes", params{"config_dir": storeConfig, "mail_dir": storeDir}}},
			{name: "store with addresses", r: store()},
			{name: "store behind addresses", r: sharing(store()), beneath: vip()},
		}},
		"a directory's node": {withMTA, furnishOne, []row{
			{name: "directory", r: directory("ip", "")},
			{name: "directory with addresses", r: directory()},
			{name: "directory behind addresses", r: sharing(directory()), beneath: vip()},
		}},
		"a front door": {withFront, furnishFront, []row{
			{name: "with addresses", r: internet()},
			{name: "behind addresses", r: sharing(internet()), beneath: vip("ip", scenario.FrontAddr4+" "+scenario.FrontAddr6)},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			n := newPlaceOf(t, tt.kind, lab.Config{Disk: true, Disks: 2}).node
			tt.furnish(t, n)
			for _, row := range tt.rows {
				t.Run(row.name, func(t *testing.T) { passes(t, n, row.r, row.beneath) })
			}
		})
	}
}

func passes(t *testing.T, n *lab.Node, r, beneath resource) {
	t.Helper()
	if beneath.agent != "" {
		beneath.start(t, n)
	}
	argv := []string{"ocf-tester", "-n", r.name}
	for name, value := range r.params {
		argv = append(argv, "-o", name+"="+value)
	}
	res, err := n.Exec(t.Context(), append(argv, agentsDir+r.agent)...)
	if err != nil || res.ExitCode != 0 || !strings.Contains(res.Stdout, "passed all tests") {
		t.Errorf("%v, exit code %d:\n%s\n%s", err, res.ExitCode, res.Stdout, res.Stderr)
	}
	if beneath.agent != "" {
		beneath.stop(t, n)
	}
	bare(t, n)
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
