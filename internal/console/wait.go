// SPDX-License-Identifier: Apache-2.0

package console

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mailha/mailha/internal/api"
)

// waiting is how long a command waits for what it asked for.
type waiting struct {
	not     bool
	timeout time.Duration
}

func (w *waiting) flags(c *cobra.Command) {
	c.Flags().BoolVar(&w.not, "no-wait", false, "do not wait until it is done")
	c.Flags().DurationVar(&w.timeout, "timeout", 10*time.Minute, "how long to wait until it is done")
}

// errEnough ends a watch that has seen what it is for.
var errEnough = errors.New("enough")

// retryFor is how long a daemon that has gone away is asked again: it may be
// restarted by what is waited for, or by an update.
const retryFor = 30 * time.Second

// wait watches until a goal is reached, from the revision on that shows what was
// asked for. It tells what is under way, unless the output is for programs.
func (s *session) wait(c *api.Client, w waiting, revision int64, g goal) (string, error) {
	ctx, cancel := context.WithTimeout(s.ctx, w.timeout)
	defer cancel()
	progress := &progress{session: s, most: map[string]int{}}
	defer progress.clear()
	result := ""
	heard := s.Now()
	for {
		err := c.Watch(ctx, func(st api.Status) error {
			heard = s.Now()
			if st.Stale || st.Revision < revision {
				return nil
			}
			done, text, err := g.reached(st)
			if err != nil {
				return err
			}
			if done {
				result = text
				return errEnough
			}
			progress.tell(text, g.about(st))
			return nil
		})
		switch {
		case errors.Is(err, errEnough):
			return result, nil
		case s.ctx.Err() != nil:
			return "", errors.New("it is not waited for any more, and goes on all the same; mailhactl status --watch shows it")
		case ctx.Err() != nil:
			return "", fmt.Errorf("it was not done within %s, and goes on all the same%s; mailhactl status says how far it is", span(w.timeout), colon(progress.text))
		case !errors.Is(err, api.ErrUnreachable) || s.Now().Sub(heard) > retryFor:
			return "", err
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func colon(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

// progress tells how far something is: on a terminal in one line, elsewhere in
// a line for each step.
type progress struct {
	*session
	most  map[string]int // of a drain's sessions and work, by resource
	text  string         // last told
	lines string
	drawn bool
}

func (p *progress) tell(text string, busy []api.Resource) {
	if p.output == outputJSON {
		return
	}
	p.text = text
	for _, r := range busy {
		p.most[r.Name] = max(p.most[r.Name], r.Sessions+r.Work)
	}
	if p.screen.Terminal {
		p.draw(text, busy)
		return
	}
	// What only counts down is told once.
	step := text
	for _, r := range busy {
		if one := r.Name + " is " + r.Phase; !strings.Contains(step, one) {
			step += "; " + one
		}
	}
	if step != p.lines {
		p.lines = step
		for _, line := range wrap(step, p.screen.Width) {
			p.print("%s\n", line)
		}
	}
}

// draw writes over the line that it wrote before.
func (p *progress) draw(text string, busy []api.Resource) {
	line := text
	for _, r := range busy {
		line = r.Name + " is " + r.Phase
		if left := remaining(r); left != "" {
			line += ", " + left
		}
		if most := p.most[r.Name]; most > 0 && r.Phase == "draining" {
			line = bar(most-r.Sessions-r.Work, most) + " " + line
		}
		break // the first one is what the others wait for
	}
	p.drawn = true
	p.print("\r\x1b[K%s", cut(line, p.screen.Width-1))
}

func (p *progress) clear() {
	if p.drawn {
		p.print("\r\x1b[K")
	}
}

// bar shows a share of a whole.
func bar(part, whole int) string {
	const width = 20
	done := min(max(part*width/whole, 0), width)
	return "[" + strings.Repeat("#", done) + strings.Repeat(".", width-done) + "]"
}

// outcome is what a command that changes something prints for programs.
type outcome struct {
	api.Done
	Waited bool   `json:"waited"`
	Result string `json:"result,omitempty"` // what came of it
}

// ask asks for a change and waits for what is to come of it; a nil goal is not
// waited for.
func (s *session) ask(c *api.Client, w waiting, send func() (api.Done, error), of func(api.Done) goal) error {
	done, err := send()
	if err != nil {
		return err
	}
	out := outcome{Done: done}
	text := s.output == outputText
	if text {
		s.done(done)
	}
	if of != nil && !w.not {
		out.Waited = true
		if out.Result, err = s.wait(c, w, done.Revision, of(done)); err != nil {
			return err
		}
		if text {
			s.print("%s\n", strings.Join(wrap(out.Result, s.screen.Width), "\n"))
		}
	}
	if text {
		return nil
	}
	return s.json(out)
}

// done says what was asked for, and what it means for groups.
func (s *session) done(d api.Done) {
	p := s.page()
	p.wrapped("", 0, d.What)
	for _, e := range d.Effects {
		p.wrapped("  ", 2, effect(e))
	}
	s.print("%s", p.String())
}

// effect is a difference in a sentence.
func effect(d api.Difference) string {
	switch {
	case d.To == "":
		return fmt.Sprintf("group %s: %s -> nowhere: %s", d.Group, dash(d.From), d.Reason)
	case d.From == "":
		return fmt.Sprintf("group %s: starts on %s: %s", d.Group, d.To, d.Reason)
	}
	return fmt.Sprintf("group %s: %s -> %s: %s", d.Group, d.From, d.To, d.Reason)
}
