// SPDX-License-Identifier: Apache-2.0

package armed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/api"
	"github.com/mailha/mailha/internal/judge"
	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/lab/fence"
)

// Fault is a way in which a fence device goes wrong.
type Fault struct {
	Name, Title string
	mode        string
	fates       []fate // of the nodes that are to be fenced, in turn
}

// Faults are all of them.
func Faults() []Fault {
	well := fate{name: "well"}
	frozen := fate{"frozen", (*lab.Node).Pause, (*lab.Node).Resume}
	dark := fate{"without power", (*lab.Node).Kill, nil}
	apart := fate{"cut off", (*lab.Node).CutLink, (*lab.Node).MendLink}
	all := []fate{frozen, dark, apart}
	return []Fault{
		{"device-fails", "says that it could not", fence.Fails, all},
		{"device-hangs", "does nothing and never answers", fence.Hangs, all},
		{"device-answers-late", "does it, and says so too late", fence.AnswersLate, all},
		// Of a node that nothing can reach nobody could tell that it lied.
		{"device-lies", "says off, and the node still answers", fence.Lies, []fate{frozen, well}},
		// Of a node without power these say the truth.
		{"device-contradicts", "says that it did, and that the outlet is on", fence.Contradicts, []fate{frozen, apart}},
		{"device-acts-late", "says that it did, and does it later", fence.ActsLate, []fate{frozen, apart}},
	}
}

// Trial is what came of a device's fault in one fencing.
type Trial struct {
	Fault   Fault
	Number  int
	Victim  string
	Fate    string        // of the victim
	Told    time.Duration // until people were told what to do
	Taken   time.Duration // until its group ran elsewhere; 0: it kept it
	Doubles []judge.Double
	Err     error
}

// late is by how much the device is, in seconds: more than its timeout.
const late = 5

// device is the nodes' power switch, in a mode.
func device(mode string) string {
	return fmt.Sprintf(`
[[fence]]
name = "power"
agent = "fence_lab"
nodes = ["node1", "node2", "node3"]
timeout = "2s"
attempts = 1

[fence.parameters]
mode = %q
late = %d
`, mode, late)
}

// fate is what makes a node silent, and how that ends. Without a deed it is well, and a
// person has it fenced.
type fate struct {
	name     string
	do, undo func(*lab.Node, context.Context) error
}

// Fault has the device go wrong each time a node is to be fenced, which is another node
// with another fate each time.
func (s *Stage) Fault(ctx context.Context, kind Fault, tries int, tell func(Trial)) error {
	var errs []error
	for i := range tries {
		nodes := s.lab.Nodes()
		t := Trial{Fault: kind, Number: i + 1, Victim: nodes[i%len(nodes)].Name()}
		s.fault(ctx, &t, kind.fates[(i+i/len(nodes))%len(kind.fates)])
		tell(t)
		errs = append(errs, t.Err)
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func (s *Stage) fault(ctx context.Context, t *Trial, f fate) {
	var victim, other *lab.Node
	for _, n := range s.lab.Nodes() {
		if n.Name() == t.Victim {
			victim = n
		} else {
			other = n
		}
	}
	if t.Err = s.settled(ctx); t.Err != nil {
		return
	}
	if t.Err = s.arm(ctx, other, t.Fault.mode); t.Err != nil {
		return
	}
	began := time.Now()
	if t.Fate = f.name; f.do == nil {
		t.Err = s.ask(ctx, t, victim, other)
	} else {
		t.Err = s.lose(ctx, t, victim, other, f)
	}
	t.Err = errors.Join(t.Err, s.arm(ctx, other, fence.Works))
	if t.Fault.mode == fence.ActsLate {
		// What the device still has to do would hit the node after it came back.
		pause := time.NewTimer((late + 1) * time.Second)
		select {
		case <-ctx.Done():
			pause.Stop()
		case <-pause.C:
		}
	}
	t.Err = errors.Join(t.Err, s.mend(ctx))
	if t.Doubles = s.judge.Since(began).Doubles; len(t.Doubles) > 0 {
		t.Err = errors.Join(t.Err, errors.New(t.Doubles[0].String()))
	}
	if t.Err != nil {
		t.Err = fmt.Errorf("%s, try %d, %s %s: %w", t.Fault.Name, t.Number, t.Victim, t.Fate, t.Err)
	}
}

// arm has the device act in a mode.
func (s *Stage) arm(ctx context.Context, by *lab.Node, mode string) error {
	const file = "/root/armed.toml"
	if err := by.Push(file, []byte(s.text+device(mode)), 0o600); err != nil {
		return err
	}
	_, err := by.Output(ctx, "mailhactl", "config", "apply", "--yes", file)
	return err
}

// ask has a person want a node fenced that is well, and goes on to be.
func (s *Stage) ask(ctx context.Context, t *Trial, victim, by *lab.Node) error {
	began := time.Now()
	res, err := by.Exec(ctx, "mailhactl", "fence", "--yes", victim.Name())
	if err != nil {
		return err
	}
	t.Told = time.Since(began)
	const says = "says off, and the node still answers: is it the right outlet?"
	if res.ExitCode == 0 || !strings.Contains(res.Stderr+res.Stdout, says) {
		return fmt.Errorf("mailhactl fence ended with %d and said %q", res.ExitCode, res.Stderr)
	}
	st, err := s.status(ctx, by)
	if err != nil {
		return err
	}
	for _, g := range st.Groups {
		if g.Nodes[0] == victim.Name() && (g.Node != victim.Name() || g.Phase != "running") {
			return fmt.Errorf("%s is %s on %q", g.Name, g.Phase, g.Node)
		}
	}
	return nil
}

// lose has a node fall silent, and sees who says what, and who takes what it had.
func (s *Stage) lose(ctx context.Context, t *Trial, victim, other *lab.Node, f fate) (err error) {
	const patience = 45 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	if err := f.do(victim, ctx); err != nil {
		return err
	}
	defer func() {
		if f.undo != nil && victim.Running() {
			if e := f.undo(victim, context.WithoutCancel(ctx)); !errors.Is(e, lab.ErrNotRunning) { // the device may be late
				err = errors.Join(err, e)
			}
		}
	}()
	const look = 100 * time.Millisecond
	for t.Told == 0 || t.Taken == 0 {
		if st, err := s.status(ctx, other); err == nil {
			if t.Told == 0 && slices.ContainsFunc(st.Problems, func(p api.Problem) bool {
				return strings.HasPrefix(p.What, victim.Name()+" could not be fenced") && strings.Contains(p.Hint, "mailhactl fence confirm "+victim.Name())
			}) {
				t.Told = time.Since(began)
			}
			for _, g := range st.Groups {
				if t.Taken == 0 && g.Nodes[0] == victim.Name() && g.Node != victim.Name() && g.Phase == "running" {
					t.Taken = time.Since(began)
				}
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("people told %t, taken over %t: %w", t.Told > 0, t.Taken > 0, ctx.Err())
		case <-time.After(look):
		}
	}
	return nil
}
