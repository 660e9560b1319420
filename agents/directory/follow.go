// SPDX-License-Identifier: Apache-2.0

package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/ldap"
)

// Scores of replicas that may be promoted. Above them is the one that is already.
const (
	fitScore      = 100
	leastFitScore = 10
	promotedScore = 110
)

// askEvery is the time between two looks at what a replica has.
const askEvery = 20 * time.Millisecond

var errConsumer = errors.New("only follows others: olcMultiProvider is not TRUE, so it cannot be promoted")

// consumer fails for a database that cannot take writes.
func (s settings) consumer() error {
	for _, d := range s.databases {
		if len(d.sources) > 0 && !d.provider {
			return fmt.Errorf("%w: database %s %w", agents.ErrNode, d.suffix, errConsumer)
		}
	}
	return nil
}

// CatchUp waits until this replica has all that those have that can be reached,
// and refuses if it lacks what one that cannot be reached was seen to have.
func (o *OpenLDAP) CatchUp(ctx context.Context, f agents.Facts) error {
	c, s, err := o.managed(ctx, f)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := s.consumer(); err != nil {
		return err
	}
	sources, err := o.others(ctx, s)
	if err != nil {
		return err
	}
	own, err := readState(c, s)
	if err != nil {
		return err
	}
	live, lost := reached(survey(ctx, sources, s, nil), own)
	had := o.note(f, live).last(lost)
	need := together(live)
	own, err = untilHas(ctx, need, bool(o.force), func() (state, error) { return readState(c, s) })
	if err != nil {
		return err
	}
	all := need.join(had)
	switch {
	case !own.lacks(all):
		return nil
	case bool(o.force):
		o.log.Warn("promoted by force although it lacks changes", "lacks", own.explain(all))
		return nil
	case own.lacks(need):
		return fmt.Errorf("this replica is behind: %s; it is not promoted before it has caught up, unless by the parameter force_promotion=true", own.explain(need))
	}
	return fmt.Errorf("this replica lacks changes that %s had and that no replica has that can be reached: %s; bring it back, or set the parameter force_promotion=true to do without them",
		names(lost), own.explain(had))
}

// untilHas waits until what is read has all of need, or ctx ends, or only once if
// so wanted.
func untilHas(ctx context.Context, need state, once bool, read func() (state, error)) (has state, err error) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for first := true; ; first = false {
		now, err := read()
		if err != nil && !first && errors.Is(err, context.DeadlineExceeded) {
			return has, nil // the time is over in the middle of a look
		}
		if has = now; err != nil || once || !has.lacks(need) {
			return has, err
		}
		select {
		case <-ctx.Done():
			return has, nil
		case <-tick.C:
		}
	}
}

// Standing measures how long the other replicas' changes take to get here, or for
// the promoted one, how long its own take to get there.
func (o *OpenLDAP) Standing(ctx context.Context, f agents.Facts, role agents.Role) (int, error) {
	score, err := o.standing(ctx, f, role)
	if role == agents.RolePromoted {
		score = promotedScore // what is wrong with it is no better elsewhere
	}
	return score, err
}

func (o *OpenLDAP) standing(ctx context.Context, f agents.Facts, role agents.Role) (int, error) {
	c, s, err := o.managed(ctx, f)
	if err != nil {
		return agents.Unfit, err
	}
	defer c.Close()
	if err := s.consumer(); err != nil {
		return agents.Unfit, nil // it is what it is meant to be
	}
	sources, err := o.others(ctx, s)
	if err != nil || len(sources) == 0 {
		return fitScore, err
	}
	own, err := readState(c, s)
	if err != nil {
		return agents.Unfit, err
	}
	live, lost := reached(survey(ctx, sources, s, nil), own)
	seen := o.note(f, live)
	waiting, cancel := context.WithTimeout(ctx, time.Duration(o.maxLag))
	defer cancel()
	if role == agents.RolePromoted {
		return fitScore, o.ahead(waiting, own, live, lost, s)
	}
	return o.behind(waiting, c, s, live, lost, seen.last(lost))
}

// behind compares this replica with what the others have.
func (o *OpenLDAP) behind(ctx context.Context, c *ldap.Conn, s settings, live, lost []other, had state) (int, error) {
	begin, need := time.Now(), together(live)
	own, err := untilHas(ctx, need, false, func() (state, error) { return readState(c, s) })
	if err != nil {
		return agents.Unfit, err
	}
	if own.lacks(need) {
		return agents.Unfit, fmt.Errorf("%w: this replica is more than %s behind: %s", agents.ErrDegraded, &o.maxLag, own.explain(need))
	}
	if own.lacks(had) {
		return agents.Unfit, fmt.Errorf("%w: this replica lacks changes that %s had, which cannot be reached: %s", agents.ErrDegraded, names(lost), own.explain(had))
	}
	score := max(leastFitScore, fitScore-int(time.Since(begin).Seconds()))
	if len(live) == 0 {
		return score, alone(lost)
	}
	return score, nil
}

// ahead sees to it that the others have what this replica had when it asked them.
func (o *OpenLDAP) ahead(ctx context.Context, own state, live, lost []other, s settings) error {
	if len(live) == 0 {
		return alone(lost)
	}
	has := func(q other) bool { return !q.has.lacks(own) }
	late := slices.DeleteFunc(live, has)
	tick := time.NewTicker(5 * askEvery)
	defer tick.Stop()
	for len(late) > 0 {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %s is more than %s behind this replica: %s", agents.ErrDegraded, late[0], &o.maxLag, late[0].has.explain(own))
		case <-tick.C:
		}
		sources := make([]source, len(late))
		for i, q := range late {
			sources[i] = q.source
		}
		for i, q := range survey(ctx, sources, s, nil) {
			if q.err == nil { // else nothing is known but what it had before
				late[i].has = q.has
			}
		}
		late = slices.DeleteFunc(late, has)
	}
	return nil
}

// alone is what is wrong where nobody else has the data.
func alone(lost []other) error {
	return fmt.Errorf("%w: none of the other replicas can be asked what it has: %w", agents.ErrDegraded, errors.Join(errorsOf(lost)...))
}

func errorsOf(all []other) []error {
	var errs []error
	for _, q := range all {
		errs = append(errs, q.err)
	}
	return errs
}
