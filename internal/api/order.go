// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"math"
	"net/http"
	"time"

	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources/placement"
)

// order is a request that changes something.
type order struct {
	*view
	Change
	s     *Server
	ctx   context.Context
	r     *http.Request
	by    string
	newer <-chan struct{}
}

// maxFor is how long a wish may last, and moveFor how long a move is tried.
const (
	maxFor  = 30 * 24 * time.Hour
	moveFor = time.Hour
)

func (s *Server) order(w http.ResponseWriter, r *http.Request, do func(*order) (Done, error)) (Done, error) {
	o := &order{s: s, ctx: r.Context(), r: r}
	var err error
	if o.by, err = s.permit(r); err != nil {
		return Done{}, err
	}
	if err := body(w, r, maxBody, &o.Change); err != nil {
		return Done{}, err
	}
	if err := words(o.Why); err != nil {
		return Done{}, err
	}
	if o.For < 0 || o.For > maxFor.Seconds() || math.IsNaN(o.For) {
		return Done{}, fault(CodeBadRequest, "", "it may last from a second to 30 days")
	}
	// Another one may have been quicker with the same thing. Then it is looked at anew.
	for attempt := 0; ; attempt++ {
		o.view, o.newer = s.look()
		if err := o.fresh(); err != nil {
			return Done{}, err
		}
		done, err := do(o)
		if err == nil {
			s.Log.Info("an operator asked for a change", "by", o.by, "request", r.Method+" "+r.URL.Path, "node", o.Change.Node, "name", o.Name, "why", o.Why, "done", done.What)
			return done, nil
		}
		if !errors.Is(err, state.ErrConflict) || attempt == 3 || !o.await(func(v *view) bool { return v.Revision > o.Revision }) {
			return Done{}, err
		}
	}
}

// permit says who wants to change something, or that it may not.
func (s *Server) permit(r *http.Request) (string, error) {
	c := s.caller(r)
	if !c.may {
		return "", fault(CodeForbidden, "operators in [api] of the configuration lists who may", "%s may look, but change nothing", c.name)
	}
	return c.name, nil
}

// fresh says that something can be changed at all.
func (v *view) fresh() error {
	if v.Stale != nil {
		return fault(CodeUnavailable, "mailhactl status says which nodes are missing", "nothing can be changed, as most of the cluster cannot be reached from %s: %s", v.node, v.Stale)
	}
	return nil
}

// await is that this node's own view is as it should be after a change, so that
// whoever asks next sees it. It says whether that came in time.
func (o *order) await(as func(*view) bool) bool {
	late := time.NewTimer(settleTime)
	defer late.Stop()
	newer := o.newer
	for {
		var v *view
		if v, newer = o.s.look(); as(v) {
			return true
		}
		select {
		case <-newer:
		case <-late.C:
			return false
		case <-o.ctx.Done():
			return false
		}
	}
}

// same finds the wish that is about the same, also one that is over.
func (v *view) same(w state.Wish) (state.Wish, bool) {
	for _, one := range v.Wishes {
		if one.Same(w) {
			return one, true
		}
	}
	return state.Wish{}, false
}

// put asks for something, in the place of what was asked for about the same.
func (o *order) put(w state.Wish, lasts time.Duration, what string) (Done, error) {
	former, _ := o.same(w)
	w.By, w.Why, w.Since, w.Until, w.Rev = o.by, o.Why, o.now, time.Time{}, former.Rev
	if o.For > 0 {
		lasts = time.Duration(o.For * float64(time.Second))
	}
	if lasts > 0 {
		w.Until = o.now.Add(lasts)
	}
	// What comes of it is said as it was before it was asked for.
	effects := o.effects(w)
	w, err := o.s.Store.PutWish(o.ctx, w)
	if err != nil {
		return Done{}, err
	}
	o.await(func(v *view) bool { return v.Revision >= w.Rev })
	return Done{What: what, Revision: w.Rev, Node: w.Node, Effects: effects}, nil
}

// effects are the groups that would be elsewhere by a wish.
func (o *order) effects(w state.Wish) []Difference {
	return o.differences(o.wishing(w))
}

// wishing is the view as it would be with one more wish.
func (o *order) wishing(w state.Wish) *view {
	if w.Rev == 0 {
		w.Rev = o.Revision + 1
	}
	wishes := []state.Wish{w}
	for _, one := range o.Wishes {
		if !one.Same(w) {
			wishes = append(wishes, one)
		}
	}
	return o.with(wishes)
}

// differences are the groups that another view has elsewhere.
func (v *view) differences(other *view) []Difference {
	return differencesOf(placement.WhatIf(v.place, func(s *placement.State) { *s = other.place }))
}

// end takes wishes back. Already says that there was none.
func (o *order) end(is func(state.Wish) bool, what, none string) (Done, error) {
	ended := 0
	for _, w := range o.Wishes {
		if !is(w) {
			continue
		}
		why := o.Why
		if w.Over(o.now) {
			why = "it was over"
		} else {
			ended++
		}
		if err := o.s.Store.EndWish(o.ctx, w, o.by, why); err != nil {
			return Done{}, err
		}
	}
	if ended == 0 {
		return Done{What: none, Already: true}, nil
	}
	done := Done{What: what, Revision: o.Revision + 1}
	o.await(func(v *view) bool {
		for _, w := range v.Wishes {
			if is(w) && !w.Over(v.now) {
				return false
			}
		}
		done.Revision = v.Revision
		return true
	})
	return done, nil
}
