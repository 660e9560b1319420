// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"

	"github.com/mailha/mailha/internal/traffic/tool"
)

// Command makes the command that runs traffic with the given arguments.
type Command = tool.Command

// Sink is a running "traffic sink".
type Sink struct {
	p     *tool.Process
	addrs []string
}

// StartSink starts a sink and waits until it listens.
func StartSink(ctx context.Context, run tool.Command, cfg SinkConfig) (*Sink, error) {
	p, ready, err := tool.Start(ctx, run, &cfg, "sink")
	if err != nil {
		return nil, err
	}
	return &Sink{p, ready.Listen}, nil
}

// Addrs gives the addresses with the ports that the sink listens on, in the order of the configuration.
func (s *Sink) Addrs() []string { return s.addrs }

// Progress gives the latest counts, at most 250 ms old.
func (s *Sink) Progress() (c SinkCounts) {
	s.p.Progress(&c)
	return c
}

// Done is closed when the process has ended.
func (s *Sink) Done() <-chan struct{} { return s.p.Done() }

// Stop ends the sink and gives its final counts. If ctx ends before the sink does, it is killed.
func (s *Sink) Stop(ctx context.Context) (c SinkCounts, err error) {
	err = s.p.Stop(ctx, &c)
	return c, err
}

// Load is a running "traffic load". Its Stop ends the sending and waits for the retries, which takes at most the grace.
type Load struct{ tool.Running[LoadCounts] }

// StartLoad starts a load.
func StartLoad(ctx context.Context, run tool.Command, cfg LoadConfig) (*Load, error) {
	p, err := tool.StartRunning[LoadCounts](ctx, run, &cfg, "load")
	if err != nil {
		return nil, err
	}
	return &Load{p}, nil
}

// Probe is a running "traffic probe".
type Probe struct{ p *tool.Process }

// StartProbe starts a probe.
func StartProbe(ctx context.Context, run tool.Command, cfg ProbeConfig) (*Probe, error) {
	p, _, err := tool.Start(ctx, run, &cfg, "probe")
	if err != nil {
		return nil, err
	}
	return &Probe{p}, nil
}

// Mark begins a new act and returns when it has begun. The name must be one line.
func (p *Probe) Mark(ctx context.Context, name string) error {
	return p.p.Ask(ctx, "mark "+name, "mark", &tool.Mark{})
}

// Report gives what was seen in the act so far.
func (p *Probe) Report(ctx context.Context) (r Report, err error) {
	err = p.p.Ask(ctx, "report", "report", &r)
	return r, err
}

// Done is closed when the process has ended.
func (p *Probe) Done() <-chan struct{} { return p.p.Done() }

// Stop ends the probe and gives the last act's report. If ctx ends before the probe does, it is killed.
func (p *Probe) Stop(ctx context.Context) (r Report, err error) {
	err = p.p.Stop(ctx, &r)
	return r, err
}
