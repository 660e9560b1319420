// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// recoverable is a service with data that have a mark.
type recoverable struct {
	doubleSteps
	dir      string
	identity string
	idErr    error
	clean    []bool // what each recovery was told
	err      error
}

func (r *recoverable) MarkPath(Facts) string          { return filepath.Join(r.dir, "run") }
func (r *recoverable) Identity(Facts) (string, error) { return r.identity, r.idErr }
func (r *recoverable) Recover(_ context.Context, _ Facts, clean bool) (string, error) {
	r.clean = append(r.clean, clean)
	return "looked", r.err
}

func newRecoverable(t *testing.T) (*Service, *doubleUnits, *recoverable) {
	t.Helper()
	r := &recoverable{doubleSteps: doubleSteps{facts: Facts{Unit: "x.service"}}, dir: t.TempDir(), identity: "1"}
	units := &doubleUnits{}
	return NewService(Env{Instance: "x", StateDir: t.TempDir(), Units: units}, r), units, r
}

func (r *recoverable) mark(t *testing.T) mark {
	t.Helper()
	m, found, err := loadMark(r.MarkPath(Facts{}))
	if err != nil || !found {
		t.Fatalf("found %v, %v", found, err)
	}
	return m
}

func cycle(t *testing.T, s *Service) {
	t.Helper()
	if err := errors.Join(s.Start(t.Context()), s.Stop(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func TestRecoveryAfterEachEnd(t *testing.T) {
	s, units, r := newRecoverable(t)
	cycle(t, s) // the first one: nothing is known
	cycle(t, s) // after a clean end
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m := r.mark(t); m.Clean || m.Epoch != 3 || m.Node == "" || m.BootID == "" {
		t.Errorf("while it runs: %+v", m)
	}
	units.active = "failed" // it died
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.drain = func(context.Context) (int, error) { return 1, nil }
	if err := s.Stop(t.Context()); err != nil { // work was left
		t.Fatal(err)
	}
	r.drain = nil
	cycle(t, s)
	r.identity = "2" // a copy was put in their place
	cycle(t, s)
	r.idErr = errors.New("cannot look")
	cycle(t, s)
	if want := []bool{false, true, true, false, false, false, false}; !slices.Equal(r.clean, want) {
		t.Errorf("clean: %v, want %v", r.clean, want)
	}
	if m := r.mark(t); m.Epoch != 7 || m.Clean {
		t.Errorf("at the end: %+v", m)
	}
}

// A mark that cannot be believed is none.
func TestTornMark(t *testing.T) {
	for name, content := range map[string]string{"empty": "", "torn": `{"epoch":4,"clean":tr`, "not ours": "[1]"} {
		s, _, r := newRecoverable(t)
		if err := os.WriteFile(r.MarkPath(Facts{}), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		cycle(t, s)
		if !slices.Equal(r.clean, []bool{false}) {
			t.Errorf("%s: clean %v", name, r.clean)
		}
	}
}

// Without a place for the mark the service still starts; without being able to
// use up the clean end it does not.
func TestMarkThatCannotBeWritten(t *testing.T) {
	s, _, r := newRecoverable(t)
	r.dir = filepath.Join(r.dir, "comes-with-the-first-run")
	r.check = func(Depth) error { return os.MkdirAll(r.dir, 0o700) }
	cycle(t, s)
	if m := r.mark(t); !m.Clean || m.Epoch != 1 {
		t.Errorf("after the first run: %+v", m)
	}
	s, units, r := newRecoverable(t)
	if err := os.MkdirAll(filepath.Join(r.MarkPath(Facts{}), "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err == nil || units.active == "active" {
		t.Errorf("started: %v", err)
	}
}

// A mark that cannot be replaced is taken away, as on a full disk: a start must not
// fail for that, and the next one must not believe it.
func TestMarkOnAFullDisk(t *testing.T) {
	s, _, r := newRecoverable(t)
	cycle(t, s)
	if err := os.MkdirAll(filepath.Join(r.MarkPath(Facts{})+".new", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	cycle(t, s)
	cycle(t, s)
	if want := []bool{false, true, false}; !slices.Equal(r.clean, want) {
		t.Errorf("clean: %v, want %v", r.clean, want)
	}
}

// Whoever owns the directory cannot make a start believe him, or write elsewhere.
func TestMarkOfSomebodyElse(t *testing.T) {
	const forged = `{"epoch":7,"clean":true,"identity":"1"}`
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	for name, forge := range map[string]func(path string) error{
		"a file of his": func(path string) error {
			return errors.Join(os.WriteFile(path, []byte(forged), 0o600), os.Chown(path, 1234, 1234))
		},
		"a link": func(path string) error {
			return errors.Join(os.WriteFile(elsewhere, []byte(forged), 0o600), os.Symlink(elsewhere, path))
		},
		"a pipe": func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a link to write": func(path string) error {
			return errors.Join(os.WriteFile(elsewhere, []byte(forged), 0o600), os.Symlink(elsewhere, path+".new"))
		},
		"something of his": func(path string) error {
			return errors.Join(os.WriteFile(path+".new", nil, 0o600), os.Chown(path+".new", 1234, 1234))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, _, r := newRecoverable(t)
			if err := forge(r.MarkPath(Facts{})); err != nil {
				t.Fatal(err)
			}
			cycle(t, s)
			if m := r.mark(t); !slices.Equal(r.clean, []bool{false}) || m.Epoch != 1 || !m.Clean {
				t.Errorf("clean %v, mark %+v", r.clean, m)
			}
			if info, err := os.Lstat(r.MarkPath(Facts{})); err != nil || !info.Mode().IsRegular() || info.Sys().(*syscall.Stat_t).Uid != 0 {
				t.Errorf("the mark is %v, %v", info, err)
			}
			if data, err := os.ReadFile(elsewhere); err == nil && string(data) != forged {
				t.Errorf("written elsewhere: %q", data)
			}
			_ = os.Remove(elsewhere)
		})
	}
}

// mender repairs once the service answers.
type mender struct {
	recoverable
	mended []string // the unit's calls so far, when it was asked to
	units  *doubleUnits
}

func (m *mender) Mend(context.Context, Facts) (string, error) {
	m.mended = slices.Clone(m.units.calls)
	return "one", errors.New("not the other")
}

func TestMend(t *testing.T) {
	units := &doubleUnits{}
	m := &mender{recoverable: recoverable{doubleSteps: doubleSteps{facts: Facts{Unit: "x.service"}}, dir: t.TempDir()}, units: units}
	s := NewService(Env{Instance: "x", StateDir: t.TempDir(), Units: units}, m)
	if err := s.Start(t.Context()); err != nil || !slices.Equal(m.mended, []string{"start"}) {
		t.Errorf("%v, mended after %q", err, m.mended)
	}
}

// A recovery that fails leaves the service down.
func TestRecoveryFails(t *testing.T) {
	s, units, r := newRecoverable(t)
	r.err = errors.New("index broken")
	if err := s.Start(t.Context()); !errors.Is(err, r.err) {
		t.Errorf("start: %v", err)
	}
	if slices.Contains(units.calls, "start") {
		t.Error("the unit was started")
	}
	if err := s.Monitor(t.Context(), DepthShallow); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after it: %v", err)
	}
}
