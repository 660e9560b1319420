// SPDX-License-Identifier: Apache-2.0

package pacemaker_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mailha/mailha/internal/kinds"
	"github.com/mailha/mailha/internal/pacemaker"
	"github.com/mailha/mailha/internal/suite"
	"github.com/mailha/mailha/resources"
)

var update = flag.Bool("update", false, "write the golden files anew")

func parse(t testing.TB, text string) *resources.Cluster {
	t.Helper()
	c, err := resources.Parse("x.toml", []byte(text), kinds.Of(suite.Types()))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Each file of testdata in both forms.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []pacemaker.Form{pacemaker.Crmsh, pacemaker.PCS} {
			got, err := pacemaker.Write(parse(t, string(data)), suite.Types(), form)
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, ".toml") + "." + string(form)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got)\n%s", golden, diff)
			}
		}
	}
}

const odd = `
[cluster]
name = "mail"
[[node]]
name = "n1"
[[group]]
name = "g"
[[resource]]
name = "1st"
kind = "service"
group = "g"
params = { unit = 'a\x2db@c.service', description = '''%s''' }
[[resource]]
name = "r_1st"
kind = "vip"
group = "g"
params = { ip = "192.0.2.1/24" }
`

// What a shell makes of the script is what the file says, whatever that is.
func TestWordsSurviveTheShell(t *testing.T) {
	for _, words := range []string{`it's "quoted"`, `$(touch /tmp/x) ` + "`id`", `back\slash \`, `a;b|c&d>e<f*?[g]~#!{}`, "ünïcödé", "--option"} {
		got, err := pacemaker.Write(parse(t, strings.Replace(odd, "%s", words, 1)), suite.Types(), pacemaker.PCS)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		// A pcs that writes down its arguments.
		if err := os.WriteFile(filepath.Join(dir, "pcs"), []byte("#!/bin/sh\nfor a; do printf '%s\\n' \"$a\"; done >>"+dir+"/args\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-s", "x.xml")
		cmd.Stdin, cmd.Env = strings.NewReader(got), []string{"PATH=" + dir + ":/usr/bin:/bin"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s\n%s", err, out, got)
		}
		args, err := os.ReadFile(filepath.Join(dir, "args"))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"description=" + words + "\n", `unit=a\x2db@c.service` + "\n", "\nr_1st\n", "\nr_1st_2\n", "\nx.xml\n"} {
			if !strings.Contains(string(args), want) {
				t.Errorf("%q is not among\n%s", want, args)
			}
		}
	}
}

func TestLineBreaksAreRefused(t *testing.T) {
	c := parse(t, odd) // where the reader of files refuses them as well
	c.Groups[0].Resources[0].Params["description"] = "a\nprimitive evil ocf:heartbeat:Dummy"
	_, err := pacemaker.Write(c, suite.Types(), pacemaker.Crmsh)
	if err == nil || !strings.Contains(err.Error(), "line break") {
		t.Errorf("got %v", err)
	}
}

// crmsh keeps comments in XML, and refuses a file that has one which XML cannot hold.
func TestCommentsAreFitForXML(t *testing.T) {
	c := parse(t, odd)
	c.Groups[0].Name = "g--h---i"
	c.Fences = []resources.Fence{{Name: "d", Agent: "/opt/fence_x-", Ports: map[string]string{"n1": "3"}, Secrets: map[string]string{"password": "/etc/a--b-"}}}
	got, err := pacemaker.Write(c, suite.Types(), pacemaker.Crmsh)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(got) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "#") && (strings.Contains(line, "--") || strings.HasSuffix(line, "-")) {
			t.Errorf("%q", line)
		}
	}
}

func TestLineBreaksOfDevicesAreRefused(t *testing.T) {
	c := parse(t, odd)
	c.Fences = []resources.Fence{{Name: "d", Agent: "fence_x", Ports: map[string]string{"n1": "3\nprimitive evil"}}}
	_, err := pacemaker.Write(c, suite.Types(), pacemaker.Crmsh)
	if err == nil || !strings.Contains(err.Error(), "line break") {
		t.Errorf("got %v", err)
	}
}

// Pacemaker refuses two monitors of one resource with the same interval.
func TestIntervalsDiffer(t *testing.T) {
	const text = `
[cluster]
name = "mail"
[[node]]
name = "n1"
[[group]]
name = "g"
[[resource]]
name = "dir"
kind = "directory"
group = "g"
params = { config_dir = "/etc/ldap/slapd.d" }
monitor = [{ depth = 0, interval = "1s", timeout = "2s" }, { depth = 10, interval = "1s", timeout = "2s" }]
`
	got, err := pacemaker.Write(parse(t, text), suite.Types(), pacemaker.PCS)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(got) {
		if _, rest, found := strings.Cut(line, "op monitor interval="); found {
			every, _, _ := strings.Cut(rest, " ")
			if seen[every] || every == "0s" {
				t.Errorf("interval %s twice in\n%s", every, got)
			}
			seen[every] = true
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d monitors in\n%s", len(seen), got)
	}
}
