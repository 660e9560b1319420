// SPDX-License-Identifier: Apache-2.0

// Package tool is what the subcommands of the traffic command have in common:
// how they are configured by flags, what they print and how they end, and how
// another program starts one and talks to it.
//
// It must never know what a subcommand does.
package tool

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"sync"
	"time"
)

// progressEvery is how often a subcommand tells how far it is.
const progressEvery = 250 * time.Millisecond

// ErrUsage is the error of a subcommand that did nothing, the reason being printed already.
var ErrUsage = errors.New("usage")

// Tool is one run of the command.
type Tool struct {
	Stdin  io.Reader
	Stderr io.Writer

	mu  sync.Mutex
	Out io.Writer // JSON lines
}

// Emit prints v, a struct, as a line with the event's name.
func (t *Tool) Emit(event string, v any) error {
	fields, err := json.Marshal(v)
	if err != nil {
		return err
	}
	line := fmt.Appendf(nil, `{"event":%q`, event)
	if len(fields) > len("{}") {
		line = append(line, ',')
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, err = t.Out.Write(append(append(line, fields[1:]...), '\n'))
	return err
}

// Ready is what the first line says.
type Ready struct {
	Listen []string `json:"listen,omitempty"`
}

// Parse is [Parse], and ErrUsage or flag.ErrHelp when it fails.
func (t *Tool) Parse(c Config, name string, args []string) error {
	err := Parse(c, name, args, t.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		return ErrUsage
	}
	return err
}

// Limit ends the context after d, if that is not 0, and at the end of stdin, whose lines go to each, if that is not nil.
func (t *Tool) Limit(ctx context.Context, d time.Duration, each func(line string)) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if d > 0 {
		ctx, cancel = context.WithTimeout(ctx, d)
	}
	go func() {
		defer cancel()
		lines := bufio.NewScanner(t.Stdin)
		for lines.Scan() {
			if each != nil {
				each(lines.Text())
			}
		}
	}()
	return ctx, cancel
}

// Run says that the subcommand is ready, runs it until it ends or d is over, if that is not 0, or stdin is at its end,
// and tells what snapshot gives meanwhile, and at last as the summary.
func (t *Tool) Run(ctx context.Context, d time.Duration, ready Ready, snapshot func() any, run func(ctx context.Context) error) error {
	ctx, cancel := t.Limit(ctx, d, nil)
	defer cancel()
	if err := t.Emit("ready", ready); err != nil {
		return err
	}
	stop := t.progress(snapshot)
	err := run(ctx)
	stop()
	return errors.Join(err, t.Emit("summary", snapshot()))
}

// progress emits what snapshot gives at intervals until the function returned is called.
func (t *Tool) progress(snapshot func() any) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(progressEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				t.Emit("progress", snapshot())
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// Mark acknowledges a mark.
type Mark struct {
	Mark string `json:"mark"`
}

// Error answers a line that was not understood.
type Error struct {
	Error string `json:"error"`
}
