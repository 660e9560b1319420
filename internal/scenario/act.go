// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/cluster"
	"github.com/mailha/mailha/internal/traffic"
)

// Act is something that happens to the cluster while mail flows.
type Act struct {
	Name  string // as in reports
	Title string // for people
	do    func(ctx context.Context, s *Stage) error
}

// Acts are those that every cast plays, in an order that leaves the cluster
// whole after each.
func Acts() []Act { return []Act{Restart(), Migrate(), KillNode()} }

// Restart stops and starts the MTA alone.
func Restart() Act {
	return Act{Name: "restart", Title: "stop and start the MTA alone", do: func(ctx context.Context, s *Stage) error {
		node, err := s.Where(ctx)
		if err != nil {
			return err
		}
		before, err := invocation(ctx, node, otherUnit)
		if err != nil {
			return err
		}
		for _, verb := range []string{"stop", "start"} {
			if _, err := s.Cluster.Output(ctx, "crm", "--wait", "resource", verb, MTA); err != nil {
				return err
			}
		}
		if err := s.Cluster.WaitResource(ctx, MTA, node); err != nil {
			return err
		}
		after, err := invocation(ctx, node, otherUnit)
		if err != nil {
			return err
		}
		if before != after {
			return errors.New("the other service on the node was restarted as well")
		}
		return nil
	}}
}

// otherUnit is that of the other service on the node.
const otherUnit = "postgrey.service"

// Migrate moves the group to another node, as an administrator would before
// work on the one it is on.
func Migrate() Act {
	return Act{Name: "migrate", Title: "move everything to another node", do: func(ctx context.Context, s *Stage) error {
		from, err := s.Where(ctx)
		if err != nil {
			return err
		}
		to := s.other(from)
		if _, err := s.Cluster.Output(ctx, "crm_resource", "--move", "--resource", group, "--node", to.Name()); err != nil {
			return err
		}
		if err := s.Cluster.WaitResource(ctx, MTA, to); err != nil {
			return err
		}
		_, err = s.Cluster.Output(ctx, "crm_resource", "--clear", "--resource", group)
		return err
	}}
}

// KillNode cuts the power of the node that the MTA runs on. The cluster has to
// notice, fence it, and recover elsewhere; then the node comes back.
func KillNode() Act {
	return Act{Name: "node-kill", Title: "cut the power of its node", do: func(ctx context.Context, s *Stage) error {
		victim, err := s.Where(ctx)
		if err != nil {
			return err
		}
		if err := victim.Kill(ctx); err != nil {
			return err
		}
		if err := s.waitElsewhere(ctx, victim); err != nil {
			return err
		}
		return s.Cluster.Rejoin(ctx, victim)
	}}
}

// Where says on which node the MTA runs.
func (s *Stage) Where(ctx context.Context) (*lab.Node, error) {
	status, err := s.Cluster.Status(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range s.Lab.Nodes() {
		if runsOn(status, n) {
			return n, nil
		}
	}
	return nil, fmt.Errorf("%s runs on no node", MTA)
}

func runsOn(status *cluster.Status, n *lab.Node) bool {
	for _, g := range status.Groups {
		for _, r := range g.Resources {
			if r.ID == MTA && r.Role == "Started" && len(r.Nodes) > 0 && r.Nodes[0].Name == n.Name() {
				return true
			}
		}
	}
	return false
}

func (s *Stage) waitElsewhere(ctx context.Context, victim *lab.Node) error {
	const pause = 200 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		// The victim may be up again, but is no member yet.
		status, err := s.Cluster.Via(s.other(victim)).Status(ctx)
		if err == nil && slices.ContainsFunc(s.Lab.Nodes(), func(n *lab.Node) bool { return n != victim && runsOn(status, n) }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not come up on another node: %w", MTA, errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

func (s *Stage) other(not *lab.Node) *lab.Node {
	nodes := s.Lab.Nodes()
	i := slices.Index(nodes, not)
	return nodes[(i+1)%len(nodes)]
}

// Row is what an act did to the client.
type Row struct {
	Engine      string  `json:"engine"`
	Resource    string  `json:"resource"`
	Act         string  `json:"act"`
	BlackoutMS  float64 `json:"blackout_ms"` // longest time without a greeting
	SessionsCut int     `json:"sessions_cut"`
	Accepted    int     `json:"accepted"`
	Delivered   int     `json:"delivered"`
	Lost        int     `json:"lost"`
	Duplicated  int     `json:"duplicated"`

	AddressMS float64 `json:"-"` // longest time without an echo reply
	OthersMS  float64 `json:"-"` // longest time without a greeting of the other services
}

// Load is what the client does during an act.
type Load struct {
	Rate       traffic.Rate // messages per second
	Sessions   int          // at the same time
	PerSession int          // messages before the client ends a session
}

// Play plays one act while mail flows, and waits until all of it has arrived or
// nothing arrives any more. Tell hears of the phases.
func (s *Stage) Play(ctx context.Context, a Act, shape Load, tell func(phase string)) (Row, error) {
	row := Row{Engine: "pacemaker", Resource: MTA, Act: a.Name}
	s.acts++
	run := fmt.Sprintf("%s-%d", a.Name, s.acts)
	ledger := filepath.Join(s.dir, run+".jsonl")
	// The run's name is new, an old file of that name is another call's.
	if err := os.RemoveAll(ledger); err != nil {
		return row, err
	}
	tell("mail flows")
	load, err := traffic.StartLoad(ctx, s.on(s.Lab.Client()), traffic.LoadConfig{
		To: vip4 + smtpPort, Run: run, RcptDomain: "sink.test", Ledger: ledger,
		Rate: shape.Rate, Sessions: shape.Sessions, PerSession: shape.PerSession,
		ConnectTimeout: 3 * time.Second, Grace: time.Minute,
	})
	if err != nil {
		return row, err
	}
	if err := s.untilAccepted(ctx, load, 20); err != nil {
		return row, err
	}
	if err := s.probe.Mark(ctx, run); err != nil {
		return row, err
	}
	tell(a.Title)
	actCtx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	actErr := s.explain(a.do(actCtx, s))
	if actErr == nil {
		actErr = s.untilAccepted(ctx, load, load.Progress().Accepted+20)
	}
	report, err := s.probe.Report(ctx)
	if err != nil {
		return row, errors.Join(actErr, err)
	}
	tell("the rest arrives")
	counts, err := load.Stop(ctx)
	if err != nil {
		return row, errors.Join(actErr, err)
	}
	result, err := s.settle(ctx, ledger)
	row.BlackoutMS, row.AddressMS = value(report.BannerBlackoutMS), value(report.ICMPBlackoutMS)
	row.SessionsCut = counts.Cut
	row.Accepted, row.Delivered, row.Lost, row.Duplicated = result.Accepted, result.Delivered, result.Lost, result.Duplicated
	return row, errors.Join(actErr, err)
}

// Watch plays one act with nobody but the probes connected, and returns the
// longest times without a greeting and without an echo reply, in milliseconds.
func (s *Stage) Watch(ctx context.Context, a Act) (greeting, address float64, err error) {
	s.acts++
	if err := s.untilGreets(ctx); err != nil {
		return 0, 0, err
	}
	if err := s.probe.Mark(ctx, fmt.Sprintf("%s-%d", a.Name, s.acts)); err != nil {
		return 0, 0, err
	}
	if err := s.explain(a.do(ctx, s)); err != nil {
		return 0, 0, err
	}
	if err := s.untilGreets(ctx); err != nil {
		return 0, 0, err
	}
	report, err := s.probe.Report(ctx)
	return value(report.BannerBlackoutMS), value(report.ICMPBlackoutMS), err
}

// untilGreets waits until a second has passed with many greetings in it.
func (s *Stage) untilGreets(ctx context.Context) error {
	const enough = 30 // of the 50 that the probe tries
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for last := -1; ; {
		report, err := s.probe.Report(ctx)
		if err != nil {
			return err
		}
		if last >= 0 && report.Greetings-last >= enough {
			return nil
		}
		last = report.Greetings
		select {
		case <-ctx.Done():
			return fmt.Errorf("the MTA does not greet: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

func value(f *float64) float64 {
	if f == nil {
		return 0
	}
	return *f
}

// untilAccepted waits until the MTA has taken so many messages of the load.
func (s *Stage) untilAccepted(ctx context.Context, load *traffic.Load, want int) error {
	const pause = 50 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for load.Progress().Accepted < want {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the MTA has accepted %d messages, want %d: %w", load.Progress().Accepted, want, ctx.Err())
		case <-load.Done():
			return errors.New("the load ended by itself")
		case <-tick.C:
		}
	}
	return nil
}

// settle audits until nothing is missing, or ctx ends; what is missing then is lost.
func (s *Stage) settle(ctx context.Context, ledger string) (traffic.Result, error) {
	const pause, patience = 200 * time.Millisecond, 90 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		result, err := s.audit(ledger)
		if err != nil || result.Lost == 0 {
			return result, err
		}
		select {
		case <-ctx.Done():
			return result, fmt.Errorf("%d of %d accepted messages did not arrive, the first is %s", result.Lost, result.Accepted, result.LostIDs[0])
		case <-tick.C:
		}
	}
}

func (s *Stage) audit(ledger string) (traffic.Result, error) {
	sent, err := os.Open(ledger)
	if err != nil {
		return traffic.Result{}, err
	}
	defer sent.Close()
	got, err := os.Open(s.sinkLedger())
	if err != nil {
		return traffic.Result{}, err
	}
	defer got.Close()
	return traffic.Audit(sent, got)
}
