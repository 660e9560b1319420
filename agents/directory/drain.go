// SPDX-License-Identifier: Apache-2.0

package directory

import (
	"context"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/ldap"
	"github.com/mailha/mailha/vip"
)

// aloneFor is how long a drain waits for another replica to turn up if none can be
// reached: one that restarts should be given the chance, but when all nodes are
// shut down there is a last one.
const aloneFor = 3 * time.Second

// Drain keeps clients from writing, and waits until one of the other replicas has
// every change that this one has. It tells how many changed entries none has. A
// stop drains twice if the replica is promoted: what was waited for in vain the
// first time is not waited for again.
func (o *OpenLDAP) Drain(ctx context.Context, f agents.Facts, tell func(left int)) (int, error) {
	if o.left > 0 {
		return o.left, nil
	}
	left, err := o.drain(ctx, f, tell)
	o.left = left
	return left, err
}

func (o *OpenLDAP) drain(ctx context.Context, f agents.Facts, tell func(left int)) (int, error) {
	if err := o.SetRole(ctx, f, agents.RoleUnpromoted); err != nil {
		return 0, err
	}
	c, s, err := o.managed(ctx, f)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	sources, err := o.others(ctx, s)
	if err != nil || len(sources) == 0 {
		return 0, err
	}
	own, err := readState(c, s)
	if err != nil {
		return 0, err
	}
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	met, told := time.Now(), time.Time{}
	best := state{} // of the others, as far as they could be asked
	for {
		live, _ := reached(survey(ctx, sources, s, own), own)
		if len(live) > 0 { // a round that time cut short says nothing new
			best = state{}
		}
		for _, q := range live {
			if !q.has.lacks(own) {
				return 0, nil
			}
			met = time.Now()
			if best.lacks(q.has) {
				best = q.has
			}
		}
		if now := time.Now(); now.Sub(told) > time.Second {
			told = now
			tell(count(c, own, best))
		}
		if time.Since(met) > aloneFor {
			o.log.Warn("no other replica can be reached that would take over the changes")
			return o.countAnew(f, own, best), nil
		}
		select {
		case <-ctx.Done():
			return o.countAnew(f, own, best), nil
		case <-tick.C:
		}
	}
}

// countAnew counts when the drain's own time is over.
func (o *OpenLDAP) countAnew(f agents.Facts, own, best state) int {
	const patience = time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := o.control(ctx, f)
	if err != nil {
		return 1
	}
	defer c.Close()
	return count(c, own, best)
}

// count counts the entries with a change that the other replica does not have. A
// deleted entry shows in its absence only, so that it is one at least; and it is
// no more than the server lets us see.
func count(c *ldap.Conn, own, best state) int {
	left := 0
	for suffix, has := range own {
		lacks := best[suffix].lacks(has)
		if len(lacks) == 0 {
			continue
		}
		since := best[suffix][lacks[0]]
		for _, id := range lacks {
			since = min(since, best[suffix][id])
		}
		filter := ldap.Present("entryCSN")
		if since != "" {
			filter = ldap.AtLeast("entryCSN", since)
		}
		// What was found up to a limit counts.
		entries, _ := c.Search(ldap.Query{Base: suffix, Scope: ldap.Subtree, Filter: filter, Attributes: []string{"entryCSN"}})
		n := 0
		for _, e := range entries {
			csn := e.Value("entryCSN")
			if id, err := serverOf(csn); err == nil && csn > best[suffix][id] {
				n++
			}
		}
		left += max(n, len(lacks))
	}
	return left
}

// Waits says that an idle client is not waited for: it wants nothing, and finds
// the next server as soon as it wants something. One that waits for an answer is
// given a moment.
func (*OpenLDAP) Waits(session vip.Session, lasted time.Duration) bool {
	const moment = time.Second
	return lasted < moment && session.Idle() == 0
}
