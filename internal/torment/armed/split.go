// SPDX-License-Identifier: Apache-2.0

package armed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/judge"
	"github.com/mailha/mailha/internal/lab"
)

// Split is a way in which the nodes' network falls apart. Clients reach all nodes, and
// fence devices are reached another way.
type Split struct {
	Name, Title string
	// rules are what a node drops, for a victim and the others; nil: nothing.
	rules func(n, victim *lab.Node, others []*lab.Node) []string
	// spares: nobody may be fenced.
	spares bool
}

// Splits are all of them.
func Splits() []Split {
	in := func(from []*lab.Node) (rules []string) {
		for _, o := range from {
			rules = append(rules, fmt.Sprintf("ip saddr %s drop; ip6 saddr %s drop", o.Addr4(), o.Addr6()))
		}
		return rules
	}
	return []Split{
		{"split-half", "one node here, two there", func(n, victim *lab.Node, others []*lab.Node) []string {
			if n == victim {
				return in(others)
			}
			return in([]*lab.Node{victim})
		}, false},
		{"split-thirds", "each node alone", func(n, victim *lab.Node, others []*lab.Node) []string {
			return in(slices.DeleteFunc(append([]*lab.Node{victim}, others...), func(o *lab.Node) bool { return o == n }))
		}, true},
		{"split-deaf", "one node hears nobody", func(n, victim *lab.Node, others []*lab.Node) []string {
			if n == victim {
				return in(others)
			}
			return nil
		}, false},
		{"split-mute", "one node is heard by nobody", func(n, victim *lab.Node, _ []*lab.Node) []string {
			if n == victim {
				return nil
			}
			return in([]*lab.Node{victim})
		}, false},
	}
}

// Outcome is what one split did.
type Outcome struct {
	Split   Split
	Number  int
	Victim  string
	Fenced  []string // whoever was switched off
	Doubles []judge.Double
	Silent  time.Duration // the longest without an answer for one of the addresses
	Served  bool          // all addresses answered before the network was mended
	Err     error
}

// lasts is how long the network is apart: longer than a lease, its margins and a start.
const lasts = 20 * time.Second

// Split has the network fall apart, with another victim each time, and come together.
func (s *Stage) Split(ctx context.Context, kind Split, tries int, tell func(Outcome)) error {
	var errs []error
	for i := range tries {
		nodes := s.lab.Nodes()
		o := s.split(ctx, kind, nodes[i%len(nodes)])
		o.Number = i + 1
		tell(o)
		errs = append(errs, o.Err)
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func (s *Stage) split(ctx context.Context, kind Split, victim *lab.Node) Outcome {
	o := Outcome{Split: kind, Victim: victim.Name()}
	if o.Err = s.settled(ctx); o.Err != nil {
		return o
	}
	before, err := s.fencings(ctx)
	if err != nil {
		o.Err = err
		return o
	}
	others := slices.DeleteFunc(slices.Clone(s.lab.Nodes()), func(n *lab.Node) bool { return n == victim })
	began := time.Now()
	err = s.lab.Each(func(n *lab.Node) error {
		rules := kind.rules(n, victim, others)
		if len(rules) == 0 {
			return nil
		}
		return nft(ctx, n, "table inet torment { chain in { type filter hook input priority -300; "+strings.Join(rules, "; ")+"; }\n}")
	})
	if err == nil {
		select {
		case <-ctx.Done():
		case <-time.After(lasts):
		}
		o.Served = s.answered(time.Now().Add(-time.Second))
	}
	o.Err = errors.Join(err, s.mend(ctx))
	v := s.judge.Since(began)
	o.Doubles, o.Silent = v.Doubles, v.Silent
	after, err := s.fencings(ctx)
	o.Err = errors.Join(o.Err, err)
	for _, n := range s.lab.Nodes() {
		if after[n.Name()].After(before[n.Name()]) {
			o.Fenced = append(o.Fenced, n.Name())
		}
	}
	o.Err = errors.Join(o.Err, o.wrong())
	return o
}

// wrong says what must not have come of a split.
func (o Outcome) wrong() error {
	var errs []error
	if len(o.Doubles) > 0 {
		errs = append(errs, fmt.Errorf("%s: %s", o.Split.Name, o.Doubles[0]))
	}
	for _, name := range o.Fenced {
		if o.Split.spares || name != o.Victim {
			errs = append(errs, fmt.Errorf("%s: %s was fenced without need", o.Split.Name, name))
		}
	}
	if o.Served == o.Split.spares {
		errs = append(errs, fmt.Errorf("%s: that all addresses answered is %t", o.Split.Name, o.Served))
	}
	return errors.Join(errs...)
}

// answered says whether each address was on a node since then.
func (s *Stage) answered(since time.Time) bool {
	for _, a := range s.addrs {
		if len(s.judge.Holders(judge.Thing{Kind: judge.Address, Name: a.String()}, since)) == 0 {
			return false
		}
	}
	return true
}

func nft(ctx context.Context, n *lab.Node, rules string) error {
	_, err := n.Output(ctx, "nft", rules)
	return err
}

// mend has the network be whole again, and nodes that were fenced take part.
func (s *Stage) mend(ctx context.Context) error {
	const patience = 3 * time.Minute
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	err := s.lab.Each(func(n *lab.Node) error {
		if !n.Running() {
			if err := n.Start(ctx); err != nil {
				return err
			}
		}
		_, err := n.Output(ctx, "sh", "-c", "nft delete table inet torment 2>/dev/null; systemctl --no-block start mailhad")
		return err
	})
	return errors.Join(err, s.settled(ctx))
}

// fencings are when each node was fenced last.
func (s *Stage) fencings(ctx context.Context) (map[string]time.Time, error) {
	st, err := s.status(ctx, s.lab.Nodes()[0])
	if err != nil {
		return nil, err
	}
	last := map[string]time.Time{}
	for _, n := range st.Nodes {
		if n.Fencing != nil && len(n.Fencing.Times) > 0 {
			last[n.Name] = slices.MaxFunc(n.Fencing.Times, time.Time.Compare)
		}
	}
	return last, nil
}
