// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
)

// Command makes the command that runs traffic with the given arguments, of which the first is "sink", "load" or
// "probe". It puts in front of them the path of the program and whatever enters the namespace. It must leave stdin and
// stdout alone.
type Command func(ctx context.Context, argv ...string) *exec.Cmd

// ErrExited is wrapped by errors about a process that ended before it was told to.
var ErrExited = errors.New("process has exited")

// maxStderr bounds what is kept of a process's complaints.
const maxStderr = 4 << 10

// process is a running traffic command.
type process struct {
	name    string
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	answers chan json.RawMessage // ready, mark, report and error lines
	asking  sync.Mutex           // one question at a time
	done    chan struct{}

	mu      sync.Mutex
	latest  json.RawMessage // progress or summary
	summary bool            // latest is the summary

	err error // after done
}

// start runs the command and waits until it is at work; ready is what it said then.
func start(ctx context.Context, run Command, c config, name string) (p *process, ready readyLine, err error) {
	args, err := argv(c, name)
	if err != nil {
		return nil, readyLine{}, err
	}
	p = &process{name: name, cmd: run(ctx, args...), answers: make(chan json.RawMessage, 1), done: make(chan struct{})}
	var complaint tail
	if p.cmd.Stderr == nil {
		p.cmd.Stderr = &complaint
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, readyLine{}, p.wrap(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, readyLine{}, p.wrap(err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, readyLine{}, p.wrap(err)
	}
	go func() {
		defer close(p.done)
		p.follow(stdout)
		if p.err = p.cmd.Wait(); p.err != nil && complaint.Len() > 0 {
			p.err = fmt.Errorf("%w: %s", p.err, strings.TrimSpace(complaint.String()))
		}
	}()
	if err = p.answer(ctx, "ready", &ready); err != nil {
		p.kill()
		return nil, readyLine{}, err
	}
	return p, ready, nil
}

// tail is the beginning of what was written to it.
type tail struct{ bytes.Buffer }

func (t *tail) Write(b []byte) (int, error) {
	t.Buffer.Write(b[:min(len(b), maxStderr-t.Len())])
	return len(b), nil
}

func (p *process) wrap(err error) error { return fmt.Errorf("traffic %s: %w", p.name, err) }

// follow reads the lines that the process prints, to the end.
func (p *process) follow(stdout io.Reader) {
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		line := bytes.Clone(lines.Bytes())
		var head struct{ Event string }
		if json.Unmarshal(line, &head) != nil {
			continue
		}
		if head.Event != "progress" && head.Event != "summary" {
			select {
			case p.answers <- line:
			default: // nobody asked
			}
			continue
		}
		p.mu.Lock()
		p.latest, p.summary = line, head.Event == "summary"
		p.mu.Unlock()
	}
	io.Copy(io.Discard, stdout)
}

// answer waits for a line of the event and decodes it into v.
func (p *process) answer(ctx context.Context, event string, v any) error {
	select {
	case line := <-p.answers:
		var head struct{ Event, Error string }
		if err := json.Unmarshal(line, &head); err != nil {
			return p.wrap(err)
		}
		if head.Event != event {
			return p.wrap(fmt.Errorf("answered %q instead of %q: %s", head.Event, event, head.Error))
		}
		return json.Unmarshal(line, v)
	case <-p.done:
		return p.wrap(errors.Join(ErrExited, p.err))
	case <-ctx.Done():
		return p.wrap(fmt.Errorf("waiting for %s: %w", event, ctx.Err()))
	}
}

// ask sends a line and decodes the answer to it into v.
func (p *process) ask(ctx context.Context, line, event string, v any) error {
	p.asking.Lock()
	defer p.asking.Unlock()
	select { // an answer that an earlier question gave up waiting for
	case <-p.answers:
	default:
	}
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		return p.wrap(err)
	}
	return p.answer(ctx, event, v)
}

// progress decodes the latest counts into v; before the first of them v stays as it is.
func (p *process) progress(v any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.latest != nil {
		json.Unmarshal(p.latest, v)
	}
}

func (p *process) kill() {
	p.stdin.Close()
	p.cmd.Process.Kill()
	<-p.done
}

// stop asks the process to end, waits for its summary and decodes it into v. When ctx ends first, it is killed.
func (p *process) stop(ctx context.Context, v any) error {
	p.stdin.Close()
	return p.wait(ctx, v)
}

// wait waits until the process ends and decodes its summary into v. When ctx ends first, it is killed.
func (p *process) wait(ctx context.Context, v any) error {
	select {
	case <-p.done:
	case <-ctx.Done():
		p.kill()
		return p.wrap(ctx.Err())
	}
	p.progress(v)
	if p.err == nil && !p.summary {
		return p.wrap(errors.New("ended without a summary"))
	}
	if p.err != nil {
		return p.wrap(p.err)
	}
	return nil
}

// Sink is a running "traffic sink".
type Sink struct {
	p     *process
	addrs []string
}

// StartSink starts a sink and waits until it listens.
func StartSink(ctx context.Context, run Command, cfg SinkConfig) (*Sink, error) {
	p, ready, err := start(ctx, run, &cfg, "sink")
	if err != nil {
		return nil, err
	}
	return &Sink{p, ready.Listen}, nil
}

// Addrs gives the addresses with the ports that the sink listens on, in the order of the configuration.
func (s *Sink) Addrs() []string { return s.addrs }

// Progress gives the latest counts, at most 250 ms old.
func (s *Sink) Progress() (c SinkCounts) {
	s.p.progress(&c)
	return c
}

// Done is closed when the process has ended.
func (s *Sink) Done() <-chan struct{} { return s.p.done }

// Stop ends the sink and gives its final counts. If ctx ends before the sink does, it is killed.
func (s *Sink) Stop(ctx context.Context) (c SinkCounts, err error) {
	err = s.p.stop(ctx, &c)
	return c, err
}

// Load is a running "traffic load".
type Load struct{ p *process }

// StartLoad starts a load.
func StartLoad(ctx context.Context, run Command, cfg LoadConfig) (*Load, error) {
	p, _, err := start(ctx, run, &cfg, "load")
	if err != nil {
		return nil, err
	}
	return &Load{p}, nil
}

// Progress gives the latest counts, at most 250 ms old.
func (l *Load) Progress() (c LoadCounts) {
	l.p.progress(&c)
	return c
}

// Done is closed when the process has ended.
func (l *Load) Done() <-chan struct{} { return l.p.done }

// Wait gives the final counts of a load that ends by itself. If ctx ends before the load does, it is killed.
func (l *Load) Wait(ctx context.Context) (c LoadCounts, err error) {
	err = l.p.wait(ctx, &c)
	return c, err
}

// Stop ends the sending, waits for the retries, which takes at most the grace, and gives the final counts. If ctx ends
// before the load does, it is killed.
func (l *Load) Stop(ctx context.Context) (c LoadCounts, err error) {
	err = l.p.stop(ctx, &c)
	return c, err
}

// Probe is a running "traffic probe".
type Probe struct{ p *process }

// StartProbe starts a probe.
func StartProbe(ctx context.Context, run Command, cfg ProbeConfig) (*Probe, error) {
	p, _, err := start(ctx, run, &cfg, "probe")
	if err != nil {
		return nil, err
	}
	return &Probe{p}, nil
}

// Mark begins a new act and returns when it has begun. The name must be one line.
func (p *Probe) Mark(ctx context.Context, name string) error {
	return p.p.ask(ctx, "mark "+name, "mark", &markLine{})
}

// Report gives what was seen in the act so far.
func (p *Probe) Report(ctx context.Context) (r Report, err error) {
	err = p.p.ask(ctx, "report", "report", &r)
	return r, err
}

// Done is closed when the process has ended.
func (p *Probe) Done() <-chan struct{} { return p.p.done }

// Stop ends the probe and gives the last act's report. If ctx ends before the probe does, it is killed.
func (p *Probe) Stop(ctx context.Context) (r Report, err error) {
	err = p.p.stop(ctx, &r)
	return r, err
}
