// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"errors"
	"fmt"
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

func restartPart(ctx context.Context, s *System, p Part) error { return s.manager.restart(ctx, p) }

func movePart(ctx context.Context, s *System, p Part) error {
	from, err := s.Where(ctx, p)
	if err != nil {
		return err
	}
	if err := s.manager.move(ctx, p, next(s.Lab, from)); err != nil {
		return err
	}
	if err := s.await(ctx, p, from, nil); err != nil {
		return err
	}
	return s.manager.moved(ctx, p)
}

func killPart(ctx context.Context, s *System, p Part) error {
	victim, err := s.Where(ctx, p)
	if err != nil {
		return err
	}
	if err := victim.Kill(ctx); err != nil {
		return err
	}
	if err := s.await(ctx, p, victim, victim); err != nil {
		return err
	}
	return s.manager.rejoin(ctx, victim)
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

// Where says on which node the service is.
func (s *System) Where(ctx context.Context, p Part) (*lab.Node, error) {
	return s.manager.where(ctx, p, nil)
}

// await waits until the service is on another node, as all but one know it.
func (s *System) await(ctx context.Context, p Part, from, not *lab.Node) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := s.manager.where(ctx, p, not)
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

// Play plays one deed with one service while clients use all of them, and waits
// until all that was taken is found again, or nothing more is. Tell hears of the
// phases.
func (s *System) Play(ctx context.Context, d Deed, p Part, rate pace.Rate, tell func(phase string)) (Row, error) {
	row := Row{Engine: s.Engine(), Resource: p.Name, Act: d.Name}
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
	const patience = 6 * time.Minute // what was not taken is tried again for a minute, and queues wait for their next try
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
	return s.Clients.Taken(ctx, each)
}
