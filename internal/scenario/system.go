// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/traffic"
)

// System is a cluster that runs a whole mail system, with clients outside that
// use it and prove what became of all that it took.
type System struct {
	Lab     *lab.Lab
	Clients *Clients

	manager manager
	layout  layout
	dir     string // ledgers and programs
	probes  map[string]*traffic.Probe
	acts    int
}

// SystemUp brings the system up. Source is the directory of this module, Dir one
// in which ledgers are left. Shape is the file below contrib that the cluster is
// configured with, as it is shipped: its directory says who runs the system. Progress
// goes to log.
func SystemUp(ctx context.Context, name, source, dir, shape string, log io.Writer) (*System, error) {
	if err := build(ctx, source, dir); err != nil {
		return nil, err
	}
	install := func(to string) error { return makeInstall(ctx, source, to) }
	return systemUp(ctx, lab.Config{Name: name, Log: log}, install, source, dir, shape)
}

// BuiltSystemUp does so with programs that were built before: those of internal/cmd
// that it needs are in the directory built, and what is to be installed is in its
// directory "install".
func BuiltSystemUp(ctx context.Context, name, source, built, dir, shape string, log io.Writer) (*System, error) {
	if err := os.Symlink(filepath.Join(built, "traffic"), filepath.Join(dir, "traffic")); err != nil {
		return nil, err
	}
	install := func(to string) error {
		if out, err := exec.CommandContext(ctx, "cp", "-a", filepath.Join(built, "install"), to).CombinedOutput(); err != nil {
			return fmt.Errorf("install: %w: %s", err, out)
		}
		return nil
	}
	return systemUp(ctx, lab.Config{Name: name, Log: log, Binary: filepath.Join(built, "lab")}, install, source, dir, shape)
}

func systemUp(ctx context.Context, cfg lab.Config, install func(to string) error, source, dir, shape string) (*System, error) {
	cfg.Nodes, cfg.Disks = 3, 2
	l, err := lab.Up(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s := &System{Lab: l, layout: layoutOf(shape), dir: dir, probes: map[string]*traffic.Probe{}}
	err = install(filepath.Join(l.ShareDir(), "install"))
	if err == nil {
		err = s.furnish(ctx, source, shape, cfg.Log)
	}
	if err != nil {
		return nil, errors.Join(s.explain(err), s.Down())
	}
	return s, nil
}

func makeInstall(ctx context.Context, source, to string) error {
	cmd := exec.CommandContext(ctx, "make", "-s", "install", "DESTDIR="+to)
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}

func (s *System) furnish(ctx context.Context, source, shape string, log io.Writer) error {
	users := Users(5)
	if err := s.Lab.Each(func(n *lab.Node) error { return s.layout.furnish(ctx, n, users) }); err != nil {
		return err
	}
	if err := MakeSystemDisks(ctx, s.Lab.Nodes()[0]); err != nil {
		return err
	}
	fmt.Fprintln(log, "nodes furnished with Postfix, Dovecot and OpenLDAP; forming a cluster with contrib/"+shape)
	var err error
	if s.manager, err = manage(ctx, s.Lab, source, shape); err != nil {
		return err
	}
	if s.Clients, err = newClients(s.layout, s.on(s.Lab.Client()), s.dir, users); err != nil {
		return err
	}
	for _, p := range s.Parts() {
		if s.probes[p.Name], err = traffic.StartProbe(ctx, s.on(s.Lab.Client()), p.probe()); err != nil {
			return err
		}
	}
	return s.untilAllGreet(ctx)
}

// manage has a cluster formed and configured.
func manage(ctx context.Context, l *lab.Lab, source, shape string) (manager, error) {
	const patience = 3 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	file := filepath.Join(source, "contrib", shape)
	if filepath.Dir(shape) == "mailhad" {
		m, err := newMailhad(ctx, l, file)
		if m == nil {
			return nil, err
		}
		return m, err
	}
	m, err := newPacemaker(ctx, l, file)
	if m == nil {
		return nil, err
	}
	return m, err
}

// Engine is who runs the services.
func (s *System) Engine() string { return s.manager.name() }

// Down removes everything, and leaves the nodes' journals beside the ledgers.
func (s *System) Down() error {
	const patience = time.Minute
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var errs []error
	for _, p := range s.probes {
		_, err := p.Stop(ctx)
		errs = append(errs, err)
	}
	for _, n := range s.Lab.Nodes() {
		const lines = 20000
		journal, err := n.Journal(ctx, lines)
		errs = append(errs, err, os.WriteFile(filepath.Join(s.dir, n.Name()+".journal"), []byte(journal), 0o644))
	}
	return errors.Join(append(errs, s.Lab.Down())...)
}

// Parts are its services, those that others ask first.
func (s *System) Parts() []Part { return s.layout.parts() }

func (s *System) on(h *lab.Host) func(ctx context.Context, argv ...string) *exec.Cmd {
	return func(ctx context.Context, argv ...string) *exec.Cmd {
		return h.Command(ctx, append([]string{filepath.Join(s.dir, "traffic")}, argv...)...)
	}
}

// explain adds what the cluster says of itself to an error.
func (s *System) explain(err error) error {
	if err == nil || s.manager == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, statusErr := s.manager.say(ctx)
	return errors.Join(err, statusErr, errors.New(out))
}

// untilAllGreet waits until each service has greeted many times within a second.
func (s *System) untilAllGreet(ctx context.Context) error {
	const patience = 2 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	const enough = 5 // of the ten or so that a probe tries
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last := map[string]int{}
	for {
		var silent []string
		for _, p := range s.Parts() {
			n, err := s.greetings(ctx, p)
			if err != nil {
				return err
			}
			if before, ok := last[p.Name]; !ok || n-before < enough {
				silent = append(silent, p.Name)
			}
			last[p.Name] = n
		}
		if len(silent) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no greetings from %s: %w", strings.Join(silent, ", "), ctx.Err())
		case <-tick.C:
		}
	}
}

// greetings counts those of a service since the latest mark.
func (s *System) greetings(ctx context.Context, p Part) (int, error) {
	report, err := s.probes[p.Name].Report(ctx)
	if err != nil {
		return 0, err
	}
	if p.door == "" {
		return report.Greetings, nil
	}
	return report.Doors[p.door].Greetings, nil
}

// onLab puts the lab's addresses in the place of those of documentation.
func onLab(config string) string {
	return strings.NewReplacer("192.0.2.", "10.77.0.", "2001:db8::", "fd77::").Replace(config)
}
