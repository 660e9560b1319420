// SPDX-License-Identifier: Apache-2.0

package console_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/api/apitest"
	"github.com/mailha/mailha/internal/console"
	"github.com/mailha/mailha/internal/state"
)

// act does something when a line with the words is printed.
type act struct {
	bytes.Buffer
	acts []struct {
		words string
		do    func()
	}
}

func (a *act) on(words string, do func()) *act {
	a.acts = append(a.acts, struct {
		words string
		do    func()
	}{words, do})
	return a
}

func (a *act) Write(p []byte) (int, error) {
	n, err := a.Buffer.Write(p)
	for len(a.acts) > 0 && strings.Contains(a.String(), a.acts[0].words) {
		do := a.acts[0].do
		a.acts = a.acts[1:]
		do()
	}
	return n, err
}

// play runs a command while the test plays the nodes.
func play(t *testing.T, p console.Program, c *apitest.Cluster, out *act, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var errs bytes.Buffer
	code := p.Run(ctx, append([]string{"--socket", c.Socket}, args...), strings.NewReader(""), out, &errs)
	if len(out.acts) > 0 {
		t.Errorf("%q was never printed", out.acts[0].words)
	}
	return result{code, out.String(), errs.String()}
}

// group changes the record of a group.
func group(c *apitest.Cluster, name string, how func(*state.Group)) {
	c.Change(func(s *state.Snapshot) {
		g := s.Groups[name]
		how(&g)
		g.Rev = s.Revision
		s.Groups[name] = g
	})
}

func endWishes(c *apitest.Cluster) {
	c.Change(func(s *state.Snapshot) { s.Wishes = nil })
}

func drain(sessions int) func(*state.ResourceReport) {
	return func(r *state.ResourceReport) {
		r.Phase, r.Since, r.Sessions, r.Left = state.ResourceDraining, apitest.Now, sessions, 20*time.Second
	}
}

// moving plays what the nodes do about a move of mx to n2.
func moving(c *apitest.Cluster) *act {
	return (&act{}).
		on("is to move to n2", func() { group(c, "mx", func(g *state.Group) { g.Phase = state.Stopping }) }).
		on("stopping on n1", func() { c.Report("n1", "postfix", drain(12)) }).
		on("draining", func() {
			c.Report("n1", "postfix", drain(3))
			group(c, "mx", func(g *state.Group) { g.Phase, g.Owner = state.Starting, "n2" })
		}).
		on("starting on n2", func() {
			endWishes(c)
			group(c, "mx", func(g *state.Group) { g.Phase = state.Running })
		})
}

func TestMoveIsWaitedFor(t *testing.T) {
	c := apitest.Serve(t)
	golden(t, "move.txt", play(t, program(), c, moving(c), "group", "move", "mx").text())
}

func TestMoveOnATerminal(t *testing.T) {
	c := apitest.Serve(t)
	p := program()
	p.Screen = &console.Screen{Width: 80, Terminal: true, Colour: true}
	out := (&act{}).
		on("is to move to n2", func() {
			group(c, "mx", func(g *state.Group) { g.Phase = state.Stopping })
			c.Report("n1", "postfix", drain(12))
		}).
		on("[....................] postfix is draining, 12 sessions left, 20s at most", func() { c.Report("n1", "postfix", drain(3)) }).
		on("[###############.....] postfix is draining, 3 sessions left", func() {
			endWishes(c)
			group(c, "mx", func(g *state.Group) { g.Phase, g.Owner = state.Running, "n2" })
		})
	r := play(t, p, c, out, "group", "move", "mx", "n2")
	if r.code != 0 || !strings.HasSuffix(r.out, "\r\x1b[Kgroup mx runs on n2\n") && !strings.Contains(r.out, "group mx runs on n2\n") {
		t.Errorf("got %q", r.text())
	}
}

func TestMoveForPrograms(t *testing.T) {
	c := apitest.Serve(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for len(c.Wishes()) == 0 && t.Context().Err() == nil {
			_, newer := c.Feed.Latest()
			if len(c.Wishes()) > 0 {
				break
			}
			<-newer
		}
		group(c, "mx", func(g *state.Group) { g.Owner = "n2" })
		endWishes(c)
	}()
	r := run(t, c, "", "group", "move", "mx", "n2", "-o", "json")
	<-done
	var got struct {
		What, Node, Result string
		Waited             bool
	}
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.code != 0 || got.Node != "n2" || !got.Waited || got.Result != "group mx runs on n2" {
		t.Errorf("got %+v, %v from %s", got, err, r.text())
	}
}

// What is waited for and does not come.
func TestWaitsThatEndBadly(t *testing.T) {
	fail := func(name, why string, c *apitest.Cluster) func() {
		return func() { group(c, name, func(g *state.Group) { g.Phase, g.Why = state.Failed, why }) }
	}
	for _, tt := range []struct {
		name, args string
		out        func(*apitest.Cluster) *act
		want       []string
	}{
		{"the stop fails", "group move mx n2", func(c *apitest.Cluster) *act {
			return (&act{}).on("is to move", fail("mx", "postfix: 2 processes are left", c))
		}, []string{"group mx could not be stopped on n1: postfix: 2 processes are left"}},
		{"it is given up", "group move mx n2", func(c *apitest.Cluster) *act {
			return (&act{}).on("is to move", func() { endWishes(c) })
		}, []string{"group mx did not get to n2: it runs on n1"}},
		{"it takes too long", "group move mx n2 --timeout 2s", func(*apitest.Cluster) *act { return &act{} },
			[]string{"it was not done within", "group mx still runs on n1", "goes on all the same"}},
		{"the service fails", "resource restart postfix", func(c *apitest.Cluster) *act {
			return (&act{}).on("is to be restarted on n1", func() {
				endWishes(c)
				c.Report("n1", "postfix", func(r *state.ResourceReport) { r.Phase, r.Detail = state.ResourceFailed, "it does not answer" })
			})
		}, []string{"postfix failed on n1: it does not answer"}},
		{"the node's stop fails", "node standby n1", func(c *apitest.Cluster) *act {
			return (&act{}).on("n1 is to run nothing", fail("mx", "busy", c))
		}, []string{"group mx could not be stopped on n1: busy"}},
		{"the configuration loses it", "resource stop postfix", func(c *apitest.Cluster) *act {
			return (&act{}).on("is to be stopped", func() {
				c.Configure(t, strings.ReplaceAll(apitest.Config, "postfix\"\nkind", "exim\"\nkind"))
				c.Change(func(*state.Snapshot) {})
			})
		}, []string{"there is no resource postfix any more"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := apitest.Serve(t)
			r := play(t, program(), c, tt.out(c), strings.Fields(tt.args)...)
			text := strings.Join(strings.Fields(r.text()), " ")
			for _, want := range tt.want {
				if r.code != 1 || !strings.Contains(text, want) {
					t.Errorf("code %d, want 1; %q is not in\n%s", r.code, want, r.text())
				}
			}
		})
	}
}

// The owner takes the wish back when it begins, and the service is up as before
// until the owner says otherwise.
func TestRestartIsWaitedFor(t *testing.T) {
	c := apitest.Serve(t)
	out := (&act{}).
		on("is to be restarted", func() { endWishes(c) }).
		on("postfix is still started on n1\n", func() {
			c.Report("n1", "postfix", func(r *state.ResourceReport) { r.Phase, r.Since = state.ResourceStopping, apitest.Now })
		}).
		on("postfix is stopping on n1", func() {
			c.Report("n1", "postfix", func(r *state.ResourceReport) { r.Phase, r.Since = state.ResourceStarted, apitest.Now })
		})
	r := play(t, program(), c, out, "resource", "restart", "postfix")
	if r.code != 0 || !strings.HasSuffix(r.out, "postfix runs on n1\n") {
		t.Error(r.text())
	}
}

func TestStopIsWaitedForThoughItHadFailed(t *testing.T) {
	c := apitest.Serve(t)
	c.Report("n1", "postfix", func(r *state.ResourceReport) { r.Phase, r.Detail = state.ResourceFailed, "before" })
	out := (&act{}).on("postfix is still failed", func() {
		c.Report("n1", "postfix", func(r *state.ResourceReport) { r.Phase = state.ResourceStopped })
	})
	r := play(t, program(), c, out, "resource", "stop", "postfix")
	if r.code != 0 || !strings.Contains(r.out, "postfix is stopped\n") {
		t.Error(r.text())
	}
	out = (&act{}).on("postfix is to run", func() {
		c.Report("n1", "postfix", func(r *state.ResourceReport) { r.Phase = state.ResourceStarted })
	})
	r = play(t, program(), c, out, "resource", "start", "postfix")
	if r.code != 0 || !strings.Contains(r.out, "postfix runs on n1\n") {
		t.Error(r.text())
	}
}

// One line for each command that changes something, and what it leaves.
func TestOrders(t *testing.T) {
	lost := func(c *apitest.Cluster) {
		c.Change(func(s *state.Snapshot) { delete(s.Nodes, "n1") })
	}
	unheard := func(name string) func(*apitest.Cluster) {
		return func(c *apitest.Cluster) {
			c.Change(func(s *state.Snapshot) {
				delete(s.Nodes, "n1")
				s.Wishes = []state.Wish{{Kind: state.Hear, Node: name, By: "root", Rev: 8}}
			})
		}
	}
	stuck := func(more func(*state.Snapshot)) func(*apitest.Cluster) {
		return func(c *apitest.Cluster) {
			c.Change(func(s *state.Snapshot) {
				g := s.Groups["mx"]
				g.Phase = state.Failed
				s.Groups["mx"] = g
				more(s)
			})
		}
	}
	for _, tt := range []struct {
		args, stdin string
		play        func(*apitest.Cluster)
		code        int
		want        string
		wishes      int
	}{
		{args: "group move mx --no-wait", want: "group mx is to move to n2", wishes: 1},
		{args: "group move mx n1 --no-wait", want: "group mx is on n1 already"},
		{args: "group move mx n3", code: 1, want: "n3 is the witness"},
		{args: "group move mx n9", code: 1, want: `there is no node "n9"`},
		{args: "group move nobody", code: 1, want: `there is no group "nobody"`},
		{args: "group move postfix", code: 1, want: "it is a resource of group mx"},
		{args: "group move box n1 --no-wait", play: lost, code: 1, want: "group box cannot run on n1: n1 "},
		{args: "group move box n1 --no-wait --force", play: lost, want: "group box is to move to n1", wishes: 1},
		{args: "group move box", play: lost, code: 1, want: "no other node can run group box: n1: n1 "},
		{args: "group move mx --cancel", want: "nobody asked group mx to move"},
		{args: "group ban mx n2 --for 2h --why disk", want: "group mx is banned from n2", wishes: 1},
		{args: "group ban box n2", play: lost, code: 1, want: "group box would run nowhere"},
		{args: "group unban mx", want: "group mx is not banned from any node"},
		{args: "group unban mx n2", want: "group mx is not banned from n2"},
		{args: "group stop mx --no-wait", want: "group mx is to be stopped", wishes: 1},
		{args: "group start mx --no-wait", want: "nobody asked group mx to be stopped"},
		{args: "group release mx", stdin: "no\n", code: 1, want: "nothing was changed"},
		{args: "group release mx", stdin: "", code: 1, want: "--yes answers beforehand"},
		{args: "group release mx --yes", code: 1, want: "its owner is present"},
		{args: "group release mx", stdin: "yes\n", play: lost, want: "group mx is taken away from n1"},
		{args: "group release mx --yes", play: stuck(func(*state.Snapshot) {}), want: "group mx is taken away from n1 and banned from there; when that is mended: mailhactl group unban mx n1", wishes: 1},
		{args: "group release mx --yes", play: stuck(func(s *state.Snapshot) { delete(s.Nodes, "n2") }), want: "group mx is taken away from n1, and starts where it can"},
		{args: "node standby n1 --no-wait", want: "n1 is to run nothing", wishes: 1},
		{args: "node standby n2 --no-wait", play: lost, code: 1, want: "group box would run nowhere"},
		{args: "node standby n2 --no-wait --force", play: lost, want: "n2 is to run nothing", wishes: 1},
		{args: "node standby n3", code: 1, want: "n3 is the witness"},
		{args: "node online n1", want: "n1 is not on standby"},
		{args: "node fenced n1 --yes", code: 1, want: "n1 is present: it is not off"},
		{args: "node fenced n1 --yes", play: lost, want: "n1 is taken as switched off", wishes: 1},
		{args: "node fenced n1 --yes", play: unheard("n1"), want: "n1 is taken as switched off", wishes: 1},
		{args: "node fenced n2 --yes", play: unheard("n1"), code: 1, want: "n2 is present", wishes: 1},
		{args: "node fenced gone --yes", play: unheard("gone"), want: "gone is taken as switched off", wishes: 1},
		{args: "node fenced nobody --yes", play: unheard("gone"), code: 1, want: `there is no node "nobody"`, wishes: 1},
		{args: "resource stop postfix --no-wait", want: "postfix is to be stopped", wishes: 1},
		{args: "resource start postfix --no-wait", want: "nobody asked postfix to be stopped"},
		{args: "resource restart postfix --no-wait", want: "postfix is to be restarted on n1", wishes: 1},
		{args: "resource restart postfix --no-wait", play: lost, code: 1, want: "its group mx runs nowhere"},
		{args: "resource stop mx --no-wait", code: 1, want: "it is a group"},
		{args: "failures forget", want: "nothing has failed that is remembered"},
		{args: "failures forget nobody", code: 1, want: "neither a group nor a resource"},
		{args: "maintenance on --for 2h --why backup", want: "maintenance for 2h", wishes: 1},
		{args: "maintenance on", code: 2, want: "--for 2h"},
		{args: "maintenance on --for 1000h", code: 1, want: "30 days"},
		{args: "maintenance off", want: "there is no maintenance"},
		{args: "maintenance on --for 2h --why \x07", code: 1, want: "cannot be printed"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			c := apitest.Serve(t)
			if tt.play != nil {
				tt.play(c)
			}
			r := run(t, c, tt.stdin, strings.Fields(tt.args)...)
			text := strings.Join(strings.Fields(r.text()), " ")
			if r.code != tt.code || !strings.Contains(text, tt.want) {
				t.Errorf("code %d, want %d; %q is not in\n%s", r.code, tt.code, tt.want, r.text())
			}
			if got := c.Wishes(); len(got) != tt.wishes {
				t.Errorf("%d wishes, want %d: %+v", len(got), tt.wishes, got)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	for args, want := range map[string]string{
		"":                        "needs a command: ",
		"sattus":                  "did you mean status?",
		"group":                   "mailhactl group needs a command: ban, move",
		"group mvoe":              "did you mean move?",
		"group move":              "accepts between 1 and 2 arg(s)",
		"status extra":            "unknown command",
		"status --wtach":          "unknown flag: --wtach",
		"status -o yaml":          "it may be text or json",
		"status --cert x":         "for --server",
		"group move mx --timeout": "flag needs an argument",
		"clutser":                 "did you mean cluster?",
	} {
		r := run(t, nil, "", strings.Fields(args)...)
		if r.code != 2 || !strings.Contains(r.err, want) || r.out != "" {
			t.Errorf("%q: code %d; %q is not in %s", args, r.code, want, r.text())
		}
	}
}

func TestNobodyThere(t *testing.T) {
	golden(t, "nobody.txt", run(t, nil, "", "status").text())
	golden(t, "nobody-json.txt", run(t, nil, "", "status", "-o", "json").text())
}

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good.toml", apitest.Config)
	bad := file("bad.toml", strings.ReplaceAll(apitest.Config, `kind = "mta"`, `kind = "mtaa"`)+"\n[[groop]]\n")
	other := file("other.toml", strings.ReplaceAll(strings.ReplaceAll(apitest.Config, `192.0.2.20`, `192.0.2.21`), `nodes = ["n1", "n2"]`, `nodes = ["n2"]`))
	name := file("name.toml", strings.ReplaceAll(apitest.Config, `name = "mail"`, `name = "post"`))
	for _, tt := range []struct {
		name, stdin string
		args        []string
		applied     bool
	}{
		{"config-check-good.txt", "", []string{"check", good}, false},
		{"config-check-bad.txt", "", []string{"check", bad}, false},
		{"config-check-none.txt", "", []string{"check", "/nonexistent/x.toml"}, false},
		{"config-diff-same.txt", "", []string{"diff", good}, false},
		{"config-diff.txt", "", []string{"diff", other}, false},
		{"config-diff-bad.txt", "", []string{"diff", bad}, false},
		{"config-apply-bad.txt", "", []string{"apply", bad, "--yes"}, false},
		{"config-apply-refused.txt", "", []string{"apply", name, "--yes"}, false},
		{"config-apply-no.txt", "no\n", []string{"apply", other}, false},
		{"config-apply-yes.txt", "yes\n", []string{"apply", other}, true},
		{"config-apply-stdin.txt", apitest.Config, []string{"apply", "-"}, false},
		{"config-apply-same.txt", "", []string{"apply", good, "--yes"}, false},
		{"config-apply-json.txt", "", []string{"apply", other, "--yes", "-o", "json"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := apitest.Serve(t)
			before, _ := c.Feed.Latest()
			r := run(t, c, tt.stdin, append([]string{"config"}, tt.args...)...)
			golden(t, tt.name, r.text())
			if after, _ := c.Feed.Latest(); (after.Config.TOML != before.Config.TOML) != tt.applied {
				t.Errorf("applied %t", !tt.applied)
			}
		})
	}
}
