// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/judge"
	"github.com/mailha/mailha/internal/lab/labtest"
	"github.com/mailha/mailha/internal/scenario"
)

// What is done to a mail system does the same to it whoever runs it: nothing that was
// accepted is lost, things are where they should be, what was not meant goes on
// undisturbed, and nothing is ever on two nodes. Each engine has one cluster for all of
// the table; clients use it from the first row to the last.
func testEngines(t *testing.T) {
	type runs map[string]scenario.Run
	type row struct {
		deed scenario.Deed
		part string
		// moved are the services that have to be on another node afterwards, given how
		// they ran before; all others but the one in the row run on as if nothing was.
		moved func(part string, before runs) []string
	}
	nobody := func(string, runs) []string { return nil }
	itself := func(part string, _ runs) []string { return []string{part} }
	itsNode := func(part string, before runs) (all []string) {
		for name, r := range before {
			if r.Node == before[part].Node {
				all = append(all, name)
			}
		}
		return all
	}
	byName := make(map[string]scenario.Part)
	var rows []row
	deeds := scenario.Deeds()
	restart, move, nodeKill := deeds[0], deeds[1], deeds[2]
	for _, p := range scenario.Parts() {
		byName[p.Name] = p
		restart, kill := restart, scenario.KillMain()
		// Dovecot greets nobody while it waits for a directory whose address is away.
		restart.Alone, kill.Alone = p.Name != "directory", p.Name != "directory"
		rows = append(rows,
			row{restart, p.Name, nobody},
			row{kill, p.Name, nobody},
			row{move, p.Name, itself})
	}
	rows = append(rows,
		row{scenario.MoveWith(byName["directory"]), "store", func(string, runs) []string { return []string{"store", "directory"} }},
		row{scenario.Standby(), "mta", itsNode},
		row{nodeKill, "store", itsNode})

	for name, shape := range map[string]string{"p": "pacemaker/address-per-service.crm", "m": "mailhad/mail.toml"} {
		t.Run(shape, func(t *testing.T) {
			ctx := t.Context()
			s := systemUp(t, name, shape)
			j, err := s.Judge(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := j.Stop(); err != nil {
					t.Error(err)
				}
			}()
			if err := s.Clients.Start(ctx, "engines", 5); err != nil {
				t.Fatal(err)
			}
			for _, tt := range rows {
				ok := t.Run(tt.deed.Name+" "+tt.part, func(t *testing.T) {
					before, err := s.Runs(ctx)
					if err != nil {
						t.Fatal(err)
					}
					try := s.Once(ctx, tt.deed, byName[tt.part])
					if try.Err != nil {
						t.Fatal(try.Err)
					}
					after, err := s.Runs(ctx)
					if err != nil {
						t.Fatal(err)
					}
					moved := make(map[string]bool)
					for _, name := range tt.moved(tt.part, before) {
						moved[name] = true
					}
					for name, r := range after {
						was := before[name]
						switch {
						case moved[name]:
							if r.Node == was.Node {
								t.Errorf("%s is still on %s", name, r.Node)
							}
						case name == tt.part:
							if r.Node != was.Node || r.Units == was.Units {
								t.Errorf("%s was to be started anew on %s: %+v, now %+v", name, was.Node, was, r)
							}
						case r != was:
							t.Errorf("%s was not meant: %+v, now %+v", name, was, r)
						}
					}
					accepted := provenSoFar(t, s)
					seen := j.Since(try.Began)
					for _, d := range seen.Doubles {
						if d.Thing.Kind == judge.Address || d.Thing.Kind == judge.Mount {
							t.Errorf("on two nodes: %v", d)
						}
					}
					t.Logf("took %.1f s, %.1f s without one of the services; %d accepted so far, 0 lost", try.Took.Seconds(), try.Without.Seconds(), accepted)
				})
				if !ok {
					return // the next rows need a system that is well
				}
			}
			if err := s.Clients.Stop(ctx); err != nil {
				t.Fatal(err)
			}
			proofs, err := s.Clients.Prove(ctx)
			sound(t, proofs, err)
		})
	}
}

// systemUp is a mail system that a cluster runs, as a file below contrib says.
func systemUp(t *testing.T, name, shape string) *scenario.System {
	t.Helper()
	if err := programs(); err != nil {
		t.Fatal(err)
	}
	// Its probes are to be asked for the last time when the test's own context has ended.
	ctx := context.WithoutCancel(t.Context())
	s, err := scenario.BuiltSystemUp(ctx, fmt.Sprintf("s%d%s", os.Getpid(), name), "../..", scratch, t.TempDir(), shape, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			labtest.ShowJournals(t, s.Lab)
		}
		if err := s.Down(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// provenSoFar wants clients to go on, and all that they were promised until then to be
// there. It returns how much that is.
func provenSoFar(t *testing.T, s *scenario.System) int {
	t.Helper()
	const more = 5 // of each kind
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	if err := s.Clients.Taken(ctx, more); err != nil {
		t.Fatal(err)
	}
	proofs, err := s.Clients.ProveSoFar(ctx)
	return sound(t, proofs, err)
}

func sound(t *testing.T, proofs []scenario.Proof, err error) (accepted int) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
	for _, p := range proofs {
		accepted += p.Accepted
		if !p.OK() || p.Accepted == 0 {
			t.Errorf("%s: %+v", p.Kind, p.Result)
		}
	}
	return accepted
}
