// SPDX-License-Identifier: Apache-2.0

package walls

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What the program behind the agents must not link: it is executed every few
// seconds on every node, and has to start in milliseconds. TLS costs 0.2 of them,
// and is what shows that a certificate has ended.
func tooHeavy() []string {
	return []string{
		"go.etcd.io", "github.com/prometheus", "google.golang.org", "net/http",
		"encoding/xml", "github.com/vishvananda", // every call would pay for what their packages set up
		module + "/internal/lab", module + "/internal/traffic",
	}
}

func TestProgramOfTheAgentsLinksLittle(t *testing.T) {
	const program = module + "/cmd/mailha-ocf"
	var linked []string
	for _, p := range list(t, "-deps", program) {
		linked = append(linked, p.ImportPath)
	}
	// The list is the right one if what must be in it is.
	for _, want := range []string{program, module + "/agents/mta", module + "/vip", "net"} {
		if !slices.Contains(linked, want) {
			t.Errorf("%s does not link %s", program, want)
		}
	}
	for _, importPath := range linked {
		for _, heavy := range tooHeavy() {
			if below(importPath, heavy) {
				t.Errorf("%s links %s; \"go mod why\" and \"go list -deps\" say by which way", program, importPath)
			}
		}
	}
}

// The workshops, and what only they need, stay out of everything that ships.
func TestShippedProgramsLinkNoWorkshop(t *testing.T) {
	var linked []string
	for _, p := range list(t, "-deps", "./cmd/...") {
		linked = append(linked, p.ImportPath)
	}
	if !slices.Contains(linked, module+"/cmd/mailha-ocf") {
		t.Error("the programs are not where this test looks for them")
	}
	for _, importPath := range linked {
		for _, workshop := range []string{"lab", "labtests", "traffic", "scenario", "judge", "torment", "bench", "manual"} {
			if below(importPath, module+"/internal/"+workshop) {
				t.Errorf("a program under cmd links %s; \"go list -deps ./cmd/...\" has it", importPath)
			}
		}
	}
}

// wrongWay lists what a package of the module must not import: imports run from
// cmd by way of internal to agents and fencing, from there to vip and
// resources, and never back.
func wrongWay(p pkg) []string {
	var wrong []string
	from := folder(p.ImportPath)
	for _, imported := range p.Imports {
		to := folder(imported)
		if to == "" {
			continue
		}
		core := below(from, "agents") || below(from, "fencing") || below(from, "resources") || below(from, "vip")
		switch {
		case below(from, "vip") && !below(to, "vip"):
			wrong = append(wrong, fmt.Sprintf("%s imports %s: vip needs nobody", from, to))
		case below(from, "resources") && !below(to, "resources"):
			wrong = append(wrong, fmt.Sprintf("%s imports %s: resources needs nobody", from, to))
		case core && (below(to, "internal") || below(to, "cmd")):
			wrong = append(wrong, fmt.Sprintf("%s imports %s: what agents are made of never looks up", from, to))
		case below(from, "internal") && below(to, "cmd"):
			wrong = append(wrong, fmt.Sprintf("%s imports %s: nobody imports a program", from, to))
		}
	}
	return wrong
}

func TestImportsRunOneWay(t *testing.T) {
	for _, p := range list(t, "./...") {
		for _, wrong := range wrongWay(p) {
			t.Error(wrong)
		}
	}
}

func TestWrongWay(t *testing.T) {
	for _, tt := range []struct {
		from, to string
		wrong    bool
	}{
		{"agents", "vip", false},
		{"agents/mta", "agents/process", false},
		{"internal/ocf", "agents", false},
		{"cmd/mailha-ocf", "internal/ocf", false},
		{"agents", "internal/ocf", true},
		{"agents/mta", "internal/lab", true},
		{"fencing/ipmi", "internal/api", true},
		{"resources", "cmd/mailhad", true},
		{"resources", "agents", true},
		{"resources/placement", "resources", false},
		{"vip", "agents", true},
		{"vip", "resources", true},
		{"vip", "internal/lab", true},
		{"internal/ocf", "cmd/mailha-ocf", true},
	} {
		p := pkg{ImportPath: module + "/" + tt.from, Imports: []string{"os", module + "/" + tt.to, "example.org/internal/x"}}
		if got := wrongWay(p); (len(got) > 0) != tt.wrong {
			t.Errorf("%s imports %s: got %q", tt.from, tt.to, got)
		}
	}
}

// mayRun lists the folders whose code may run programs, each with its reason.
// An agent that runs one waits for it, is cut off with it, and parses what it
// prints: it needs a reason to.
func mayRun() map[string]string {
	return map[string]string{
		"agents/mta":        "postconf(1) is the only one that reads all of main.cf and master.cf as Postfix does",
		"internal/ocf":      "crm_attribute(8) is Pacemaker's only interface to promotion scores",
		"agents/store":      "doveconf(1) is the only one that reads all of dovecot.conf as Dovecot does",
		"agents/filesystem": "what may hang in the kernel needs a process that can be left behind; e2fsck has no other interface",
		"agents/directory":  "slapd itself is the only one that knows whether it would start with its configuration",
		"agents/service":    "a program of the administrator's is how the data of an unknown service are mended",
		"fencing":           "fence agents are programs: that is their interface",
		"internal/lab":      "test nodes are made by the system's own tools",
		"internal/scenario": "installs this tree on test nodes by its own Makefile",
		"internal/bench":    "measures what a call of an agent costs",
		"internal/cmd":      "tools of this tree, never installed",
		"internal/traffic":  "runs itself inside network namespaces",
	}
}

func TestOnlyAFewRunPrograms(t *testing.T) {
	var runners []string
	for _, p := range list(t, "./...") {
		if slices.Contains(p.Imports, "os/exec") {
			runners = append(runners, folder(p.ImportPath))
		}
	}
	without, unused := excess(runners, mayRun())
	for _, from := range without {
		t.Errorf("%s imports os/exec without a reason: read the kernel, D-Bus or the file instead, or give a reason in mayRun", from)
	}
	for _, dir := range unused {
		t.Errorf("%s has a reason to run programs and does not: take it out of mayRun", dir)
	}
}

// mayAskEtcd lists the folders whose code may know etcd. Whatever else needs it
// asks these.
func mayAskEtcd() map[string]string {
	return map[string]string{
		"internal/quorum": "runs the embedded member",
		"internal/state":  "keeps the cluster's state",
		"internal/poison": "keeps pills and slots, which have to outlive a restore of that state",
	}
}

func TestOnlyAFewKnowEtcd(t *testing.T) {
	var knowing []string
	for _, p := range list(t, "./...") {
		if slices.ContainsFunc(p.Imports, func(imported string) bool { return below(imported, "go.etcd.io") }) {
			knowing = append(knowing, folder(p.ImportPath))
		}
	}
	without, unused := excess(knowing, mayAskEtcd())
	for _, from := range without {
		t.Errorf("%s imports etcd: ask internal/state or internal/quorum instead", from)
	}
	for _, dir := range unused {
		t.Errorf("%s may ask etcd and does not: take it out of mayAskEtcd", dir)
	}
}

// excess compares what is done with what is allowed, in both directions.
func excess(done []string, allowed map[string]string) (without, unused []string) {
	for _, from := range done {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(allowed)), func(dir string) bool { return below(from, dir) }) {
			without = append(without, from)
		}
	}
	for dir := range allowed {
		if !slices.ContainsFunc(done, func(from string) bool { return below(from, dir) }) {
			unused = append(unused, dir)
		}
	}
	return without, unused
}

func TestExcess(t *testing.T) {
	allowed := map[string]string{"a/b": "reason", "c": "reason"}
	without, unused := excess([]string{"a/b", "a/bc", "a"}, allowed)
	if diff := cmp.Diff([][]string{{"a/bc", "a"}, {"c"}}, [][]string{without, unused}); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
