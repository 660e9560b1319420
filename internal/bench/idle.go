// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/bench/rival"
	"github.com/mailha/mailha/internal/lab"
)

const (
	idleGroups    = 10
	idleResources = 10 // of each group
	idleFor       = time.Minute
)

// idleConfig has all groups on the first node if they can be.
func idleConfig() string {
	var b strings.Builder
	for g := range idleGroups {
		fmt.Fprintf(&b, "\n[[group]]\nname = \"g%d\"\nnodes = [\"node1\", \"node2\", \"node3\"]\nfailback = \"immediate\"\nstickiness = \"0s\"\n", g)
		for r := range idleResources {
			fmt.Fprintf(&b, "\n[[resource]]\nname = \"p_%d_%d\"\nkind = \"vip\"\ngroup = \"g%d\"\n[resource.params]\nnic = \"eth0\"\nip = [%q]\n",
				g, r, g, crowdAddress(g*idleResources+r))
		}
	}
	return b.String()
}

// idle looks at what mailhad needs while nothing happens: on the node that runs a
// hundred resources, and on one that runs none.
func (c *Contest) idle(ctx context.Context, m *rival.Mailhad) error {
	const patience = 5 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c.Tell("a hundred resources get ready")
	// What had these addresses before lets go of them first: another node would find them in
	// use, and stay away from them for a while.
	for _, groups := range []string{"", idleConfig()} {
		if err := m.Run(ctx, rival.MailhadConfig(m.Ground(), m.Lease(), groups)); err != nil {
			return err
		}
	}
	nodes := m.Ground().Lab.Nodes()
	for crowdOn(nodes[0]) != idleGroups*idleResources {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d addresses of %d are on %s: %w", crowdOn(nodes[0]), idleGroups*idleResources, nodes[0].Name(), ctx.Err())
		case <-time.After(time.Second):
		}
	}
	const settle = 5 * time.Second
	time.Sleep(settle) // what was begun comes to its end
	before := make([]need, len(nodes))
	for i, n := range nodes {
		var err error
		if before[i], err = needs(ctx, n); err != nil {
			return err
		}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(idleFor):
	}
	for i, n := range nodes[:2] {
		after, err := needs(ctx, n)
		if err != nil {
			return err
		}
		what := "idle with 100 resources"
		if i > 0 {
			what = "idle beside it, without resources of its own"
		}
		cpu := 100 * (after.cpu - before[i].cpu).Seconds() / after.at.Sub(before[i].at).Seconds()
		c.Tell(fmt.Sprintf("%s: %s: RSS %.1f MiB, PSS %.1f MiB, %.2f %% of a processor", m.Name(), what, after.rss, after.pss, cpu))
		c.board.add("idle", what+", RSS", "MiB", m.Name(), after.rss, 0)
		c.board.add("idle", what+", PSS", "MiB", m.Name(), after.pss, 0)
		c.board.add("idle", what+", CPU of one processor", "%", m.Name(), cpu, 0)
	}
	return nil
}

// need is what the daemon has used and uses.
type need struct {
	at       time.Time
	cpu      time.Duration
	rss, pss float64 // MiB
}

func needs(ctx context.Context, n *lab.Node) (need, error) {
	// proc(5): smaps_rollup has kB; fields 14 and 15 of stat are ticks, of which
	// sysconf(3) _SC_CLK_TCK gives the number in a second.
	out, err := n.Output(ctx, "sh", "-euc", `pid=$(systemctl show --property=MainPID --value mailhad)
awk '$1=="Rss:" {r=$2} $1=="Pss:" {p=$2} END {print r, p}' /proc/$pid/smaps_rollup
sed 's/.*) //' /proc/$pid/stat | awk '{print $12+$13}'; getconf CLK_TCK`)
	if err != nil {
		return need{}, err
	}
	var numbers []float64
	for f := range strings.FieldsSeq(out) {
		v, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return need{}, fmt.Errorf("what mailhad uses: %w", err)
		}
		numbers = append(numbers, v)
	}
	const fields, kib = 4, 1024
	if len(numbers) != fields {
		return need{}, fmt.Errorf("what mailhad uses: %q", out)
	}
	return need{time.Now(), time.Duration(numbers[2] / numbers[3] * float64(time.Second)), numbers[0] / kib, numbers[1] / kib}, nil
}
