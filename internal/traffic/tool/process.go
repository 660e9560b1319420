// SPDX-License-Identifier: Apache-2.0

package tool

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

// Command makes the command that runs traffic with the given arguments, of which the first is the name
// of a subcommand. It puts in front of them the path of the program and whatever enters the namespace. It must leave stdin and
// stdout alone.
type Command func(ctx context.Context, argv ...string) *exec.Cmd

// ErrExited is wrapped by errors about a process that ended before it was told to.
var ErrExited = errors.New("process has exited")

// maxStderr bounds what is kept of a process's complaints.
const maxStderr = 4 << 10

// Process is a running traffic command.
type Process struct {
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

// Start runs a subcommand and waits until it is at work; ready is what it said then.
func Start(ctx context.Context, run Command, c Config, name string) (p *Process, ready Ready, err error) {
	args, err := Argv(c, name)
	if err != nil {
		return nil, Ready{}, err
	}
	p = &Process{name: name, cmd: run(ctx, args...), answers: make(chan json.RawMessage, 1), done: make(chan struct{})}
	var complaint tail
	if p.cmd.Stderr == nil {
		p.cmd.Stderr = &complaint
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, Ready{}, p.wrap(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, Ready{}, p.wrap(err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, Ready{}, p.wrap(err)
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
		return nil, Ready{}, err
	}
	return p, ready, nil
}

// tail is the beginning of what was written to it.
type tail struct{ bytes.Buffer }

func (t *tail) Write(b []byte) (int, error) {
	t.Buffer.Write(b[:min(len(b), maxStderr-t.Len())])
	return len(b), nil
}

func (p *Process) wrap(err error) error { return fmt.Errorf("traffic %s: %w", p.name, err) }

// follow reads the lines that the process prints, to the end.
func (p *Process) follow(stdout io.Reader) {
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
func (p *Process) answer(ctx context.Context, event string, v any) error {
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

// Ask sends a line and decodes the answer to it into v.
func (p *Process) Ask(ctx context.Context, line, event string, v any) error {
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

// Progress decodes the latest counts into v; before the first of them v stays as it is.
func (p *Process) Progress(v any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.latest != nil {
		json.Unmarshal(p.latest, v)
	}
}

func (p *Process) kill() {
	p.stdin.Close()
	p.cmd.Process.Kill()
	<-p.done
}

// End asks the process to end.
func (p *Process) End() { p.stdin.Close() }

// Stop asks the process to end, waits for its summary and decodes it into v. When ctx ends first, it is killed.
func (p *Process) Stop(ctx context.Context, v any) error {
	p.End()
	return p.Wait(ctx, v)
}

// Wait waits until the process ends and decodes its summary into v. When ctx ends first, it is killed.
func (p *Process) Wait(ctx context.Context, v any) error {
	select {
	case <-p.done:
	case <-ctx.Done():
		p.kill()
		return p.wrap(ctx.Err())
	}
	p.Progress(v)
	if p.err == nil && !p.summary {
		return p.wrap(errors.New("ended without a summary"))
	}
	if p.err != nil {
		return p.wrap(p.err)
	}
	return nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running is a subcommand that runs as a process, and tells its counts as a C.
type Running[C any] struct{ *Process }

// StartRunning is [Start] for a subcommand that tells its counts as a C.
func StartRunning[C any](ctx context.Context, run Command, c Config, name string) (Running[C], error) {
	p, _, err := Start(ctx, run, c, name)
	return Running[C]{p}, err
}

// Progress gives the latest counts, at most 250 ms old.
func (r Running[C]) Progress() (c C) {
	r.Process.Progress(&c)
	return c
}

// Wait gives the final counts of a process that ends by itself. If ctx ends before the process does, it is killed.
func (r Running[C]) Wait(ctx context.Context) (c C, err error) {
	err = r.Process.Wait(ctx, &c)
	return c, err
}

// Stop ends the process and gives its final counts. If ctx ends before the process does, it is killed.
func (r Running[C]) Stop(ctx context.Context) (c C, err error) {
	err = r.Process.Stop(ctx, &c)
	return c, err
}
