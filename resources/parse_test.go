// SPDX-License-Identifier: Apache-2.0

package resources_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/mailha/mailha/resources"
)

var update = flag.Bool("update", false, "write what the bad files say beside them")

// Each bad file says all that is wrong with it, in its order.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no bad files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = resources.Parse("mailha.toml", data, kinds())
			if err == nil {
				t.Fatal("it was taken")
			}
			got := err.Error() + "\n"
			golden := strings.TrimSuffix(file, ".toml") + ".txt"
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
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func parse(t *testing.T, text string) *resources.Cluster {
	t.Helper()
	c, err := resources.Parse("mailha.toml", []byte(text), kinds())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// commented are the lines of the reference that show a key without a default.
func commented(line string) bool {
	name, _, pair := strings.Cut(strings.TrimPrefix(line, "#"), " = ")
	return strings.HasPrefix(line, "#") && pair && !strings.Contains(name, " ")
}

// The defaults that the reference states are those of the code: it means the
// same without them.
func TestReferenceStatesTheDefaults(t *testing.T) {
	full := parse(t, resources.Reference())
	keep := []string{"name", "kind", "group", "address", "witness = true", "after", "ip", "nic", "shared_ip", "config_dir", "drain_timeout", "agent", `nodes = ["node1"]`, "username", "lanplus", "password", "["}
	var short []string
	inList := false
	for line := range strings.Lines(resources.Reference()) {
		text := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(text, "#"):
		case strings.HasSuffix(text, "= ["):
			inList = true
		case inList:
			inList = text != "]"
		case slices.ContainsFunc(keep, func(k string) bool { return strings.HasPrefix(text, k) }):
			short = append(short, text)
		}
	}
	text := strings.Join(short, "\n")
	if strings.Contains(text, "failback") || strings.Contains(text, "monitor") || strings.Contains(text, "lease") {
		t.Fatalf("there are defaults left in\n%s", text)
	}
	if diff := cmp.Diff(parse(t, text), full, cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})); diff != "" {
		t.Errorf("without its defaults the reference means something else (-without +with)\n%s", diff)
	}
}

// What stands behind a # in the reference can be used.
func TestReferenceShowsKeysThatWork(t *testing.T) {
	var lines []string
	for line := range strings.Lines(resources.Reference()) {
		if commented(line) {
			line = line[1:]
		}
		// What goes with endpoints, and with them only.
		for _, embedded := range []string{"data_dir", "heartbeat", "election", "peer_port", "port "} {
			if strings.HasPrefix(line, embedded) {
				line = "#" + line
			}
		}
		lines = append(lines, line)
	}
	text := strings.Join(lines, "") + `
[[node]]
name = "node4"
address = "192.0.2.14"
[[group]]
name = "news"
[[resource]]
name = "mail-disk"
kind = "service"
group = "mail"
params = { unit = "disk.service" }
`
	c := parse(t, text)
	if len(c.Etcd.Endpoints) != 3 || !c.API.Listen.IsValid() || len(c.API.Operators) != 2 || len(c.Groups[0].ApartFrom) != 1 {
		t.Errorf("the commented keys have not all arrived: %+v", c)
	}
	if want := []string{"mail-disk", "mail-ip", "postfix"}; !cmp.Equal(want, resourceNames(c.Groups[0])) {
		t.Errorf("the resources start as %q, not as %q", resourceNames(c.Groups[0]), want)
	}
	want := []resources.Preference{{Node: "node1"}, {Node: "node2", Rank: 1}, {Node: "node4", Rank: 1}}
	if diff := cmp.Diff(want, c.Groups[0].Nodes); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func resourceNames(g resources.Group) []string {
	var all []string
	for _, r := range g.Resources {
		all = append(all, r.Name)
	}
	return all
}

// The smallest file, and what it means.
func TestSmallFile(t *testing.T) {
	c := parse(t, `cluster.name = "one"
node = [{ name = "n1" }]
[[group]]
name = "g"
[[resource]]
name = "web"
kind = "service"
group = "g"
params.unit = "web.service"
params.ports = [80, 443]
params.quick = true
params.cert_days = 7
`)
	r, ok := c.Resource("web")
	if !ok {
		t.Fatal("there is no resource")
	}
	want := map[string]string{"unit": "web.service", "ports": "80 443", "quick": "true", "cert_days": "7"}
	if diff := cmp.Diff(want, r.Params); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if r.Threshold != 3 || r.Group != "g" || r.OnFailure != resources.OnFailureRestart || len(r.Monitors) != 2 {
		t.Errorf("got %+v", r)
	}
	if len(c.Warnings) != 0 {
		t.Errorf("a warning: %s", c.Warnings)
	}
}

func TestWarnings(t *testing.T) {
	c := parse(t, `[cluster]
name = "two"
[[node]]
name = "n1"
address = "192.0.2.1"
[[node]]
name = "n2"
address = "192.0.2.2"
[[group]]
name = "g"
`)
	want := `mailha.toml:1: two nodes have no majority when one is lost, so that the other one lets go of everything too; add a third node; witness = true makes it one that only votes
mailha.toml:9: group "g" has no resource`
	if diff := cmp.Diff(want, c.Warnings.Error()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A reboot of which nobody sees that it was one is for agents that can prove it.
func TestCycleIsWarnedOf(t *testing.T) {
	text := "cluster.name = 'c'\nnode = [{ name = 'a', address = '192.0.2.1' }, { name = 'b', address = '192.0.2.2' }, { name = 'c', address = '192.0.2.3' }]\n" +
		"[[fence]]\nname = 'f'\nnodes = ['a', 'b', 'c']\nmethod = 'cycle'\nagent = "
	c := parse(t, text+"'fence_ipmilan'\n")
	if want := `mailha.toml:6: fence "f": a reboot by fence_ipmilan is believed`; len(c.Warnings) != 1 || !strings.HasPrefix(c.Warnings.Error(), want) {
		t.Errorf("the warnings are %q", c.Warnings)
	}
	if c := parse(t, text+"'/opt/sbin/fence_mailha'\n"); len(c.Warnings) != 0 {
		t.Errorf("the warnings are %q", c.Warnings)
	}
}

// Two nodes must not write to one disk because nobody knows that one of them is off.
func TestUnguardedDataAreWarnedOf(t *testing.T) {
	const nodes = "node = [{ name = 'a', address = '192.0.2.1' }, { name = 'b', address = '192.0.2.2' }, { name = 'c', address = '192.0.2.3' }]\n"
	const disk = "[[group]]\nname = 'g'\nnodes = ['a', 'b']\n[[resource]]\nname = 'd'\nkind = 'filesystem'\ngroup = 'g'\nparams = { device = '/dev/x' }\n"
	fence := func(nodes string) string {
		return "[[fence]]\nname = 'f" + fmt.Sprint(len(nodes)) + "'\nagent = 'fence_ipmilan'\nnodes = [" + nodes + "]\n"
	}
	const want = `resource "d": two nodes may write to /dev/x at once: when node "b" hangs`
	for name, tt := range map[string]struct{ text, want string }{
		"nothing proves it":       {nodes + disk, `when node "a" hangs`},
		"a device for some":       {nodes + fence("'a', 'c'") + disk, want},
		"a device for all":        {nodes + fence("'a'") + fence("'b', 'c'") + disk, ""},
		"an eager watchdog":       {nodes + "watchdog.mode = 'auto'\n" + fence("'a'") + disk, want},
		"a watchdog":              {nodes + "watchdog.mode = 'required'\n" + disk, ""},
		"proof is waited for":     {nodes + strings.Replace(disk, "nodes = ['a', 'b']", "takeover = 'fenced'", 1), ""},
		"one node":                {nodes + strings.Replace(disk, "['a', 'b']", "['a']", 1), ""},
		"multi-mount protection":  {nodes + strings.Replace(disk, "'/dev/x'", "'/dev/x', require_mmp = true", 1), ""},
		"nothing that is written": {nodes + strings.ReplaceAll(strings.ReplaceAll(disk, "filesystem", "vip"), "device = '/dev/x'", "ip = '192.0.2.9'"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := parse(t, "cluster.name = 'c'\n"+tt.text)
			if tt.want == "" && len(c.Warnings) != 0 || tt.want != "" && (len(c.Warnings) != 1 || !strings.Contains(c.Warnings.Error(), tt.want)) {
				t.Errorf("the warnings are %q, want %q", c.Warnings, tt.want)
			}
		})
	}
}

// Heartbeats go between addresses of the same family, and tell of so many nodes.
func TestHeartbeats(t *testing.T) {
	text := "cluster.name = 'many'\n"
	for i := range resources.MaxNodes {
		text += fmt.Sprintf("[[node]]\nname = 'n%d'\naddress = ['192.0.2.%d', '2001:db8::%d']\n", i, i+1, i+1)
	}
	c := parse(t, text)
	if h := c.Heartbeat; h.Interval != 50*time.Millisecond || h.Suspect != 150*time.Millisecond || h.SuspectMax != time.Second || h.Port != 2382 {
		t.Errorf("got %+v", h)
	}
	_, err := resources.Parse("f", []byte(text+"[[node]]\nname = 'more'\naddress = '192.0.2.99'\n"), kinds())
	if want := "f:122: the cluster has 41 nodes, and may have 40"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	c = parse(t, "cluster.name = 'c'\nheartbeat.interval = '400ms'\n"+
		"node = [{ name = 'a', address = '192.0.2.1' }, { name = 'b', address = ['192.0.2.2', '2001:db8::2'] }, { name = 'c', address = '2001:db8::3' }]\n")
	if h := c.Heartbeat; h.Suspect != 1200*time.Millisecond || h.SuspectMax != 1200*time.Millisecond {
		t.Errorf("with a longer interval: %+v", h)
	}
	if want := `no heartbeat can go between node "a" and node "c"`; len(c.Warnings) != 1 || !strings.Contains(c.Warnings.Error(), want) {
		t.Errorf("the warnings are %q", c.Warnings)
	}
}

// A group without nodes may run on all that run anything.
func TestApartHoldsBothWays(t *testing.T) {
	c := parse(t, resources.Reference()+`
[[group]]
name = "news"
nodes = "node2"
apart_from = ["mail"]
`)
	mail, _ := c.Group("mail")
	news, _ := c.Group("news")
	if !slices.Equal(mail.ApartFrom, []string{"news"}) || !slices.Equal(news.ApartFrom, []string{"mail"}) {
		t.Errorf("mail is apart from %q, news from %q", mail.ApartFrom, news.ApartFrom)
	}
	if _, ok := mail.Rank("node3"); ok {
		t.Error("the witness may run mail")
	}
	if _, ok := news.Rank("node1"); ok {
		t.Error("node1 may run news")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(resources.Reference()))
	bad, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range bad {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := resources.Parse("f", data, kinds())
		if (c == nil) == (err == nil) {
			t.Fatalf("cluster %v, error %v", c, err)
		}
		if err == nil {
			sound(t, c)
			return
		}
		var problems resources.Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("the error is a %T", err)
		}
		last := 0
		for _, p := range problems {
			if p.Line < 1 || p.Line > bytes.Count(data, []byte("\n"))+1 || p.Column < 1 || p.What == "" {
				t.Errorf("%+v is nowhere in the file", p)
			}
			if p.Line < last {
				t.Errorf("line %d after line %d", p.Line, last)
			}
			last = p.Line
		}
	})
}

// sound sees that a cluster keeps what its comments promise.
func sound(t *testing.T, c *resources.Cluster) {
	if c.Name == "" || len(c.Nodes) == 0 {
		t.Errorf("cluster %q with %d nodes", c.Name, len(c.Nodes))
	}
	for _, g := range c.Groups {
		if len(g.Nodes) == 0 {
			t.Errorf("group %q has no nodes", g.Name)
		}
		for _, p := range g.Nodes {
			if n, ok := c.Node(p.Node); !ok || n.Witness {
				t.Errorf("group %q may run on %q", g.Name, p.Node)
			}
		}
		seen := map[string]bool{}
		for _, r := range g.Resources {
			for _, a := range r.After {
				if !seen[a] {
					t.Errorf("resource %q starts before %q", r.Name, a)
				}
			}
			seen[r.Name] = true
		}
	}
}
