// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/bench/rival"
	"github.com/mailha/mailha/internal/lab"
)

// A thousand addresses, and a limit for each resource that lets all of them be announced
// within a second.
const (
	crowdName      = "crowd"
	crowdResources = 20
	crowdEach      = 50
	crowdRate      = 250
	goalCrowd      = 1000 // ms
)

// crowdAddress numbers the addresses.
func crowdAddress(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 78, byte(i >> 8), byte(i)}) }

func crowdGroup(rate int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n[[group]]\nname = %q\n", crowdName)
	for r := range crowdResources {
		fmt.Fprintf(&b, "\n[[resource]]\nname = \"p_vips%d\"\nkind = \"vip\"\ngroup = %q\n[resource.params]\nnic = \"eth0\"\narp_rate = %d\nip = [", r, crowdName, rate)
		for i := range crowdEach {
			fmt.Fprintf(&b, "%q, ", crowdAddress(r*crowdEach+i))
		}
		b.WriteString("]\n")
	}
	return b.String()
}

// crowd moves a thousand addresses again and again, and hears on the wire when they are
// announced.
func (c *Contest) crowd(ctx context.Context, m *rival.Mailhad) error {
	const patience = 5 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c.Tell("a thousand addresses get ready")
	if err := m.Run(ctx, rival.MailhadConfig(m.Ground(), m.Lease(), crowdGroup(crowdRate))); err != nil {
		return err
	}
	nodes := m.Ground().Lab.Nodes()
	for run := range c.Runs {
		at := slices.IndexFunc(nodes, func(n *lab.Node) bool { return crowdOn(n) > 0 })
		to := nodes[(at+1)%len(nodes)]
		if err := c.crowdMove(ctx, m, run+1, to); err != nil {
			return err
		}
	}
	return nil
}

func (c *Contest) crowdMove(ctx context.Context, m *rival.Mailhad, run int, to *lab.Node) error {
	const all = crowdResources * crowdEach
	mac, err := hardware(to)
	if err != nil {
		return err
	}
	ear, err := listen(m.Ground().Lab.Client(), mac)
	if err != nil {
		return err
	}
	defer ear.close()
	began := time.Now()
	if err := m.MoveGroup(ctx, crowdName, to); err != nil {
		return err
	}
	decided, err := untilLogged(ctx, to, began, `taken.*group=`+crowdName)
	if err != nil {
		return err
	}
	for ear.announced() < all {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d addresses were announced: %w", ear.announced(), all, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
	if n := crowdOn(to); n != all {
		return fmt.Errorf("%s has %d addresses of %d", to.Name(), n, all)
	}
	first, last := ear.span()
	second, tenth := ear.most(time.Second), ear.most(100*time.Millisecond)
	c.Tell(fmt.Sprintf("%-26s %s %d: first %.1f ms, last %.1f ms, at most %d packets within a second and %d within a tenth",
		m.Name(), crowdName, run, millis(first.Sub(decided)), millis(last.Sub(decided)), second, tenth))
	add := func(name, unit string, value, goal float64) {
		c.board.add(crowdName, name, unit, m.Name(), value, goal)
	}
	add("1,000 addresses, from the decision to the first announcement", "ms", millis(first.Sub(decided)), 0)
	add("1,000 addresses, from the decision until the last one is announced", "ms", millis(last.Sub(decided)), goalCrowd)
	add("1,000 addresses, most ARP packets within a second", "count", float64(second), 0)
	add("1,000 addresses, most ARP packets within a tenth of it", "count", float64(tenth), 0)
	return nil
}

// crowdOn counts the addresses of the crowd that a node has.
func crowdOn(n *lab.Node) int {
	pid, err := n.LeaderPID()
	if err != nil {
		return 0
	}
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/fib_trie", pid))
	if err != nil {
		return 0
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(table)) {
		if _, addr, ok := strings.Cut(strings.TrimSpace(line), "|-- 10.78."); ok {
			seen[addr] = true
		}
	}
	return len(seen)
}
