// SPDX-License-Identifier: Apache-2.0

package armed

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/lab"
)

// Count is what happened though nothing was wrong.
type Count struct {
	For        time.Duration
	Programs   int // that computed, on all nodes together
	Suspicions int // a node looked dead to another one
	Fencings   int // attempts at it, whatever came of them
	Lost       int // leases
	Taken      int // groups
}

// Strain has as many programs compute on each node as the machine has processors.
func (s *Stage) Strain(ctx context.Context, d time.Duration, tell func(Count)) (c Count, err error) {
	c.Programs = len(s.lab.Nodes()) * runtime.NumCPU()
	began := time.Now()
	since := fmt.Sprintf("@%d", began.Unix()+1)
	for i := range runtime.NumCPU() {
		err := s.lab.Each(func(n *lab.Node) error {
			_, err := n.Output(ctx, "systemd-run", "--quiet", "--collect", fmt.Sprintf("--unit=torment-load%d", i), "sh", "-c", "while :; do :; done")
			return err
		})
		if err != nil {
			return c, err
		}
	}
	defer func() {
		const patience = time.Minute
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		err = errors.Join(err, s.lab.Each(func(n *lab.Node) error {
			_, err := n.Output(ctx, "systemctl", "stop", "torment-load*")
			return err
		}))
	}()
	const each = time.Minute
	for end := began.Add(d); ; {
		select {
		case <-ctx.Done():
			return c, ctx.Err()
		case <-time.After(min(each, time.Until(end))):
		}
		if err := s.count(ctx, since, &c); err != nil {
			return c, err
		}
		c.For = time.Since(began)
		tell(c)
		if !time.Now().Before(end) {
			return c, nil
		}
	}
}

// count reads the journals: they tell of each node what it believed.
func (s *Stage) count(ctx context.Context, since string, c *Count) error {
	for pattern, n := range map[string]*int{
		`a node looks dead`: &c.Suspicions, `msg=fencing |is lost and cannot be fenced`: &c.Fencings,
		`lease is lost`: &c.Lost, `msg=taken `: &c.Taken,
	} {
		*n = 0
		for _, node := range s.lab.Nodes() {
			out, err := node.Output(ctx, "sh", "-c", `journalctl -u mailhad --no-pager --since="$1" | grep -cE "$2" || :`, "sh", since, pattern)
			if err != nil {
				return err
			}
			found, err := strconv.Atoi(strings.TrimSpace(out))
			if err != nil {
				return fmt.Errorf("count in the journal of %s: %w", node.Name(), err)
			}
			*n += found
		}
	}
	st, err := s.status(ctx, s.lab.Nodes()[0])
	if err != nil {
		return err
	}
	fencings := 0
	for _, n := range st.Nodes {
		if n.Fencing != nil {
			fencings += max(1, len(n.Fencing.Times))
		}
	}
	c.Fencings = max(c.Fencings, fencings)
	return nil
}
