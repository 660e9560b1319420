// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/traffic/pace"
)

// Deed is an act that is played with one of the system's services.
type Deed struct {
	Name  string // as in reports
	Title string // for people
	// Alone says that the other services must not notice.
	Alone bool
	do    func(ctx context.Context, s *System, p Part) error
}

// Deeds are those that are played with each service, in an order that leaves the
// cluster whole after each.
func Deeds() []Deed {
	return []Deed{
		{Name: "restart", Title: "stop and start it alone", Alone: true, do: restartPart},
		{Name: "migrate", Title: "move it to another node", do: movePart},
		{Name: "node-kill", Title: "cut the power of its node", do: killPart},
	}
}

func restartPart(ctx context.Context, s *System, p Part) error {
	for _, verb := range []string{"stop", "start"} {
		if _, err := s.Cluster.Output(ctx, "crm", "--wait", "resource", verb, p.Resource); err != nil {
			return err
		}
	}
	return nil
}

func movePart(ctx context.Context, s *System, p Part) error {
	from, err := s.Where(ctx, p)
	if err != nil {
		return err
	}
	move := []string{"crm_resource", "--move", "--resource", p.moved, "--node", s.next(from).Name()}
	clear := []string{"crm_resource", "--clear", "--resource", p.moved}
	if p.promoted {
		move, clear = append(move, "--promoted"), append(clear, "--promoted")
	}
	if _, err := s.Cluster.Output(ctx, move...); err != nil {
		return err
	}
	if err := s.await(ctx, p, from, s.Cluster.Output); err != nil {
		return err
	}
	_, err = s.Cluster.Output(ctx, clear...)
	return err
}

func killPart(ctx context.Context, s *System, p Part) error {
	victim, err := s.Where(ctx, p)
	if err != nil {
		return err
	}
	if err := victim.Kill(ctx); err != nil {
		return err
	}
	if err := s.await(ctx, p, victim, s.Cluster.Via(s.next(victim)).Output); err != nil {
		return err
	}
	return s.Cluster.Rejoin(ctx, victim)
}

// Do plays a deed with a service, and returns when all services greet again.
func (s *System) Do(ctx context.Context, d Deed, p Part) error {
	const patience = 3 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := d.do(ctx, s, p)
	if err == nil {
		err = s.untilAllGreet(ctx)
	}
	if err != nil {
		return s.explain(fmt.Errorf("%s of %s: %w", d.Name, p.Name, err))
	}
	return nil
}

// ask runs a program on a node of the cluster.
type ask func(ctx context.Context, argv ...string) (string, error)

// Where says on which node the service is.
func (s *System) Where(ctx context.Context, p Part) (*lab.Node, error) {
	return s.where(ctx, p, s.Cluster.Output)
}

func (s *System) where(ctx context.Context, p Part, via ask) (*lab.Node, error) {
	out, err := via(ctx, "crm_resource", "--locate", "--resource", p.Resource)
	if err != nil {
		return nil, err
	}
	pattern := `(?m)is running on: (\S+) *$`
	if p.promoted {
		pattern = `(?m)is running on: (\S+) +(?:Promoted|Master) *$`
	}
	found := regexp.MustCompile(pattern).FindStringSubmatch(out)
	if found == nil {
		return nil, fmt.Errorf("%s is nowhere: %s", p.Resource, out)
	}
	for _, n := range s.Lab.Nodes() {
		if n.Name() == found[1] {
			return n, nil
		}
	}
	return nil, fmt.Errorf("%s is on %s, which is no node", p.Resource, found[1])
}

// await waits until the service is on another node.
func (s *System) await(ctx context.Context, p Part, from *lab.Node, via ask) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := s.where(ctx, p, via)
		if err == nil && now != from {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not leave %s: %w", p.Resource, from.Name(), errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

func (s *System) next(not *lab.Node) *lab.Node {
	nodes := s.Lab.Nodes()
	for i, n := range nodes {
		if n == not {
			return nodes[(i+1)%len(nodes)]
		}
	}
	return nodes[0]
}

// Play plays one deed with one service while clients use all of them, and waits
// until all that was taken is found again, or nothing more is. Tell hears of the
// phases.
func (s *System) Play(ctx context.Context, d Deed, p Part, rate pace.Rate, tell func(phase string)) (Row, error) {
	row := Row{Engine: "pacemaker", Resource: p.Name, Act: d.Name}
	s.acts++
	name := fmt.Sprintf("%s-%s-%d", p.Name, d.Name, s.acts)
	tell("mail flows")
	if err := s.Clients.Start(ctx, name, rate); err != nil {
		return row, err
	}
	const some = 10 // of each kind
	if err := s.untilTaken(ctx, some); err != nil {
		return row, err
	}
	for _, probe := range s.probes {
		if err := probe.Mark(ctx, name); err != nil {
			return row, err
		}
	}
	tell(d.Title)
	deedErr := s.Do(ctx, d, p)
	if err := s.gaps(ctx, d, p, &row); err != nil {
		deedErr = errors.Join(deedErr, err)
	}
	tell("the rest arrives")
	return row, errors.Join(deedErr, s.account(ctx, &row))
}

// gaps fills in what the probes saw.
func (s *System) gaps(ctx context.Context, d Deed, p Part, row *Row) error {
	var errs []error
	for _, q := range s.Parts() {
		report, err := s.probes[q.Name].Report(ctx)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		greeting, address := q.gaps(report)
		if q.Name == p.Name || p.Name == All().Name {
			row.BlackoutMS, row.AddressMS = max(row.BlackoutMS, greeting), max(row.AddressMS, address)
			continue
		}
		row.OthersMS = max(row.OthersMS, greeting)
		if missed := q.missed(report); d.Alone && missed != "" {
			errs = append(errs, fmt.Errorf("%s noticed: %s", q.Name, missed))
		}
	}
	return errors.Join(errs...)
}

// account stops the clients and compares what they were promised with what is there.
func (s *System) account(ctx context.Context, row *Row) error {
	const patience = 90 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.Clients.Stop(ctx); err != nil {
		return err
	}
	proofs, err := s.Clients.Prove(ctx)
	for _, p := range proofs {
		row.SessionsCut += p.Counts.Cut
		row.Accepted += p.Accepted
		row.Delivered += p.Delivered
		row.Lost += p.Lost
		row.Duplicated += p.Duplicated
		if p.Corrupted > 0 {
			err = errors.Join(err, fmt.Errorf("%s: %d damaged", p.Kind, p.Corrupted))
		}
	}
	return err
}

// untilTaken waits until each kind of clients had some of their messages taken.
func (s *System) untilTaken(ctx context.Context, each int) error {
	const patience = time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		behind := ""
		for kind, c := range s.Clients.Progress() {
			if c.Accepted < each {
				behind = fmt.Sprintf("%s: %+v", kind, c)
			}
		}
		if behind == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("clients cannot do their work: %s", behind)
		case <-tick.C:
		}
	}
}
