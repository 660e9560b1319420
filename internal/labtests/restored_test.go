// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/api"
	"github.com/mailha/mailha/internal/judge"
	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
)

// A cluster whose members have all lost their data is restored from a snapshot that is
// too old: groups have moved since, a maintenance has ended, and a node still has a file
// system that nobody knows of. Every group runs once in the end, and none before that node
// was heard.
func TestClusterIsRestored(t *testing.T) {
	s, err := scenario.SystemUp(t.Context(), fmt.Sprintf("r%d", os.Getpid()), "../..", t.TempDir(), "mailhad/mail.toml", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Down(); err != nil {
			t.Error(err)
		}
	}()
	watch, err := s.Judge(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	began := time.Now()
	r := crew{t, s.Lab.Nodes()}
	one, two, three := r.nodes[0], r.nodes[1], r.nodes[2]

	r.on(one, "mailhactl maintenance on --for 2h --why test; mailhactl group ban front node1; mailhactl cluster snapshot /root/old.state; mailhactl maintenance off")
	if got := r.on(one, "stat -c %a /root/old.state; head -c 200 /root/old.state"); !strings.HasPrefix(got, "600\n") || !strings.Contains(got, "what the mailha cluster mail had agreed on") {
		t.Errorf("the snapshot is %s", got)
	}
	r.on(one, "mailhactl group unban front node1")
	for _, to := range []string{"node2", "node3", "node2"} {
		r.on(one, "mailhactl group move mta "+to)
	}
	r.on(one, "mailhactl group move store node3; mailhactl group move store node2")
	was := r.epochs(one)

	if out := r.fails(one, "mailhactl cluster restore --yes /root/old.state"); !strings.Contains(out, "systemctl stop mailhad") {
		t.Errorf("it is restored beside a daemon: %s", out)
	}
	if out := r.fails(one, "systemctl stop mailhad; mailhactl cluster restore --yes /root/old.state"); !strings.Contains(out, "etcd answers on node2, node3") {
		t.Errorf("it is restored beside a cluster: %s", out)
	}
	r.on(one, "systemctl start mailhad")
	r.each(`rm -rf /var/lib/mailha/etcd; systemctl kill --signal=KILL --kill-whom=main mailhad`)
	r.each("systemctl stop mailhad")
	// What a daemon could not stop, on a node that has forgotten that it owned it.
	r.on(two, "mount LABEL=mail-store /srv/store")
	if out := r.fails(one, "mailhactl cluster restore /root/old.state </dev/null"); !strings.Contains(out, "forgotten: maintenance") || !strings.Contains(out, "in force again: the ban of front") {
		t.Errorf("it is asked: %s", out)
	}
	r.on(one, "mailhactl cluster restore --yes /root/old.state; systemctl start mailhad")
	if out := r.fails(two, "mailhactl cluster restore --yes /dev/null"); out == "" {
		t.Error("nothing restores a cluster")
	}
	r.on(three, "systemctl start mailhad")

	// Longer than a lease: nobody is taken for dead who was never heard.
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(time.Second) {
		for _, g := range r.status(one).Groups {
			if g.Node != "" {
				t.Fatalf("%s is %s on %s before node2 was heard", g.Name, g.Phase, g.Node)
			}
		}
	}
	if out := strings.Join(strings.Fields(r.on(one, "mailhactl status")), " "); !strings.Contains(out, "what node2 may still run is not known") || strings.Contains(out, "what node3 may") {
		t.Errorf("the status does not say who is waited for:\n%s", out)
	}
	r.on(two, "systemctl start mailhad")
	if err := s.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := watch.Since(began); len(v.Doubles) > 0 {
		t.Errorf("on two nodes: %v", v.Doubles)
	} else if n, _ := v.Worst(judge.Mount); n > 0 {
		t.Errorf("mounted twice")
	}
	is := r.epochs(one)
	for name, epoch := range was {
		if (name == "mta" || name == "store") && is[name] <= epoch {
			t.Errorf("%s runs under epoch %d after %d", name, is[name], epoch)
		}
	}
	st := r.status(one)
	for _, g := range st.Groups {
		if g.Name == "front" && g.Node == "node1" {
			t.Error("the ban of the snapshot is not in force")
		}
	}
	if out := r.on(one, "mailhactl status"); strings.Contains(out, "maintenance") {
		t.Errorf("the maintenance has come back:\n%s", out)
	}
	for name, dir := range map[string]string{"mta": "/srv/mail", "store": "/srv/store"} {
		if epoch := r.marked(st, name, dir); epoch == 0 || is[name] < epoch {
			t.Errorf("%s runs under epoch %d, and its data are marked with %d", name, is[name], epoch)
		}
	}
	row, err := s.Play(t.Context(), scenario.Deeds()[0], s.Parts()[1], 5, func(string) {})
	if err != nil || row.Lost > 0 || row.Accepted == 0 {
		t.Errorf("%+v: %v", row, err)
	}
}

// crew is the nodes of a cluster of mailhad.
type crew struct {
	t     *testing.T
	nodes []*lab.Node
}

func (r crew) on(n *lab.Node, script string) string {
	r.t.Helper()
	out, err := n.Output(r.t.Context(), "sh", "-euc", script)
	if err != nil {
		r.t.Fatalf("%s: %v", n.Name(), err)
	}
	return out
}

// fails is what a script says that must not succeed.
func (r crew) fails(n *lab.Node, script string) string {
	r.t.Helper()
	res, err := n.Exec(r.t.Context(), "sh", "-euc", script)
	if err != nil || res.ExitCode == 0 {
		r.t.Fatalf("%s on %s: %v, %+v", script, n.Name(), err, res)
	}
	return strings.Join(strings.Fields(string(res.Stdout)+string(res.Stderr)), " ")
}

func (r crew) each(script string) {
	r.t.Helper()
	done := make(chan error, len(r.nodes))
	for _, n := range r.nodes {
		go func() {
			_, err := n.Output(context.WithoutCancel(r.t.Context()), "sh", "-euc", script)
			done <- err
		}()
	}
	for range r.nodes {
		if err := <-done; err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r crew) status(n *lab.Node) api.Status {
	r.t.Helper()
	var st api.Status
	if err := json.Unmarshal([]byte(r.on(n, "mailhactl status --output json")), &st); err != nil {
		r.t.Fatal(err)
	}
	return st
}

func (r crew) epochs(n *lab.Node) map[string]uint64 {
	r.t.Helper()
	all := map[string]uint64{}
	for _, g := range r.status(n).Groups {
		all[g.Name] = g.Epoch
	}
	return all
}

// marked is the greatest epoch in the marks beside a group's data.
func (r crew) marked(st api.Status, group, dir string) uint64 {
	r.t.Helper()
	most := uint64(0)
	for _, g := range st.Groups {
		for _, n := range r.nodes {
			if g.Name != group || g.Node != n.Name() {
				continue
			}
			out := r.on(n, "find "+dir+" -xdev -name '*mailha-run' | xargs -r cat")
			for line := range strings.Lines(out) {
				var mark struct{ Epoch uint64 }
				if json.Unmarshal([]byte(line), &mark) == nil {
					most = max(most, mark.Epoch)
				}
			}
		}
	}
	return most
}
