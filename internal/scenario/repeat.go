// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/mailha/mailha/internal/judge"
	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/traffic/pace"
)

// NewDeed makes a deed of something that is done to the node that a service is on, or
// to the cluster, and undone.
func NewDeed(name, title string, do func(ctx context.Context, s *System, p Part) error) Deed {
	return Deed{Name: name, Title: title, do: do}
}

// Try is what one of several tries of a deed did.
type Try struct {
	Number  int // from 1
	Part    Part
	Began   time.Time
	Took    time.Duration // until all services greeted and nothing was under way
	Without time.Duration // the longest time that one of the services did not greet
	Err     error         // it did not settle
}

// Repeat plays a deed again and again, with one service after the other, while clients
// use all of them, and then waits until all that was taken is found again. Tell hears
// of each try.
func (s *System) Repeat(ctx context.Context, d Deed, tries int, rate pace.Rate, tell func(Try)) (Row, error) {
	row := Row{Engine: s.Engine(), Resource: All().Name, Act: d.Name}
	s.acts++
	name := fmt.Sprintf("%s-%d", d.Name, s.acts)
	if err := s.Clients.Start(ctx, name, rate); err != nil {
		return row, err
	}
	const some = 5 // of each kind
	failed := []error{s.untilTaken(ctx, some)}
	for i := range tries {
		t := Try{Number: i + 1, Part: s.Parts()[i%len(s.Parts())], Began: time.Now()}
		s.try(ctx, d, &t)
		tell(t)
		failed = append(failed, t.Err)
		if ctx.Err() != nil {
			break
		}
	}
	return row, errors.Join(errors.Join(failed...), s.account(ctx, &row))
}

// Once plays a deed with a service while clients that were started use all of them.
func (s *System) Once(ctx context.Context, d Deed, p Part) Try {
	s.acts++
	t := Try{Number: s.acts, Part: p, Began: time.Now()}
	s.try(ctx, d, &t)
	return t
}

// try fills in what one try does.
func (s *System) try(ctx context.Context, d Deed, t *Try) {
	for _, probe := range s.probes {
		if t.Err = probe.Mark(ctx, fmt.Sprintf("%s-%d", d.Name, t.Number)); t.Err != nil {
			return
		}
	}
	err := s.Do(ctx, d, t.Part)
	// What greets may be on its way out, and what is settled may have to be asked yet.
	for _, step := range []func(context.Context) error{s.Settle, s.untilAllGreet, s.Settle} {
		if err == nil {
			err = step(ctx)
		}
	}
	t.Took = time.Since(t.Began)
	var row Row
	t.Err = errors.Join(err, s.gaps(ctx, d, t.Part, &row))
	t.Without = time.Duration(max(row.BlackoutMS, row.OthersMS) * float64(time.Millisecond))
}

// Settle waits until nothing is under way.
func (s *System) Settle(ctx context.Context) error {
	const patience = 2 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.explain(s.manager.idle(ctx))
}

// Configure changes the configuration that the cluster runs.
func (s *System) Configure(ctx context.Context, edit func(string) string) error {
	n := s.Lab.Nodes()[0]
	text, err := n.Output(ctx, "mailhactl", "config", "show")
	if err != nil {
		return err
	}
	const file = "/root/next.toml"
	if err := n.Push(file, []byte(edit(text)+"\n"), 0o600); err != nil {
		return err
	}
	_, err = n.Output(ctx, "mailhactl", "config", "apply", "--yes", file)
	return err
}

// Group is the name of the group that a service is in.
func (p Part) Group() string {
	if p.Name == "internet-agent" {
		return "front"
	}
	return p.Name
}

// Address is the IPv4 address that a service is reached at.
func (p Part) Address() string { return p.address }

// Rejoin starts a node that was off, and has it take part again.
func (s *System) Rejoin(ctx context.Context, n *lab.Node) error { return s.manager.rejoin(ctx, n) }

// Judge begins to watch the system from outside.
func (s *System) Judge(ctx context.Context) (*judge.Judge, error) {
	own4, own6 := netip.MustParseAddr("10.77.0.102"), netip.MustParseAddr("fd77::102")
	host, err := s.Lab.AddHost(ctx, "judge", own4, own6)
	if err != nil {
		return nil, err
	}
	cfg := judge.Config{
		Host: host, Own4: own4, Own6: own6, Disks: []string{lab.Disk(1), lab.Disk(2)},
		Units: []string{MTAUnit, StoreUnit, FrontMTAUnit},
	}
	for _, a := range []string{
		MTAAddr4, MTAAddr6, DirectoryAddr4, DirectoryAddr6, StoreAddr4, StoreAddr6, FrontAddr4, FrontAddr6,
	} {
		cfg.Addrs = append(cfg.Addrs, netip.MustParseAddr(a))
	}
	for _, n := range s.Lab.Nodes() {
		cfg.Nodes = append(cfg.Nodes, judge.Node{Name: n.Name(), PID: n.LeaderPID})
	}
	return judge.Start(cfg)
}
