// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mailha/mailha/agents/process"
	"github.com/mailha/mailha/agents/unit"
)

// tidy prepares a start after whatever end there was: processes of the instance
// that live without its unit are ended, since children of a master that was
// killed go on listening, and the data are put in order unless they were left
// so. From then on the mark says that a run has begun.
func (s *Service) tidy(ctx context.Context, facts Facts, state unit.State) error {
	if state.Stopped() == unit.Yes {
		if err := s.clearLeftovers(ctx, facts); err != nil {
			return err
		}
	}
	r, ok := s.steps.(Recoverer)
	if !ok {
		return nil
	}
	path := r.MarkPath(facts)
	var last mark
	var found bool
	if path != "" {
		var err error
		if last, found, err = loadMark(path); err != nil {
			return err
		}
		next, err := last.begin(s.env.Epoch)
		if err != nil {
			return err
		}
		// Before anything else: whatever becomes of this start, and be it a power
		// cut, the clean end is used up.
		if saved, err := next.use(path); err != nil {
			return err
		} else if !saved {
			s.log.Warn("the run cannot be marked; the next start will look for damage", "path", path)
		}
	}
	clean := found && last.Clean && s.same(r, facts, last)
	begin := time.Now()
	did, err := r.Recover(ctx, facts, clean)
	if err != nil {
		return fmt.Errorf("recovery after an unclean end: %w", err)
	}
	took := time.Since(begin).Round(time.Millisecond)
	switch {
	case path == "" && did == "": // nothing that could have been damaged
	case clean:
		s.log.Info("the last run ended cleanly", "last_node", last.Node, "epoch", max(s.env.Epoch, last.Epoch+1), "took", took)
	case found:
		s.log.Warn("the last run did not end cleanly; recovered before the start", "last_node", last.Node, "epoch", max(s.env.Epoch, last.Epoch+1), "did", did, "took", took)
	default:
		s.log.Info("nothing is known about a last run; recovered before the start", "did", did, "took", took)
	}
	return nil
}

// mend has what a recovery found put right with the help of the service itself,
// before its clients come in. That it fails is no reason to keep them all out.
func (s *Service) mend(ctx context.Context, facts Facts) {
	m, ok := s.steps.(Mender)
	if !ok {
		return
	}
	begin := time.Now()
	did, err := m.Mend(ctx, facts)
	took := time.Since(begin).Round(time.Millisecond)
	if err != nil {
		s.log.Warn("not everything could be repaired", "did", did, "error", err, "took", took)
	} else if did != "" {
		s.log.Warn("repaired before clients come in", "did", did, "took", took)
	}
}

// markRun sees to it that a run has its mark: the first one makes the place for
// it itself.
func (s *Service) markRun(facts Facts) {
	r, ok := s.steps.(Recoverer)
	if !ok || r.MarkPath(facts) == "" {
		return
	}
	m, found, err := loadMark(r.MarkPath(facts))
	if err == nil && !found {
		if m, err = m.begin(s.env.Epoch); err == nil {
			err = m.save(r.MarkPath(facts))
		}
	}
	if err != nil {
		s.log.Warn("cannot mark the run; the next start will look for damage", "error", err)
	}
}

// same says whether the data are still those of the clean end.
func (s *Service) same(r Recoverer, facts Facts, last mark) bool {
	identity, err := r.Identity(facts)
	if err != nil {
		s.log.Warn("cannot tell whether the data are those of the last run", "error", err)
	}
	return err == nil && identity == last.Identity
}

func (s *Service) clearLeftovers(ctx context.Context, facts Facts) error {
	left, err := process.Find(facts.Process)
	if err != nil || len(left) == 0 {
		return err
	}
	s.log.Warn("ending processes that an unclean end left", "processes", process.Names(left))
	const grace = 2 * time.Second // what they have in hand may finish
	_, err = process.End(ctx, grace, func() ([]process.Process, error) { return process.Find(facts.Process) })
	return err
}

// cutsCleanly says whether cut sessions leave nothing to repair.
func (s *Service) cutsCleanly() bool {
	c, ok := s.steps.(CleanCutter)
	return ok && c.CutsCleanly()
}

// noteCleanEnd does not fail a stop: without the mark the next start only takes
// longer.
func (s *Service) noteCleanEnd(ctx context.Context, facts Facts) {
	r, ok := s.steps.(Recoverer)
	if !ok {
		return
	}
	if err := noteCleanEnd(ctx, r, facts, s.env.Epoch); err != nil {
		s.log.Warn("cannot note the clean end; the next start will look for damage", "error", err)
	}
}

func noteCleanEnd(ctx context.Context, r Recoverer, facts Facts, epoch uint64) error {
	path := r.MarkPath(facts)
	if path == "" {
		return nil
	}
	if err := flush(ctx, filepath.Dir(path)); err != nil {
		return err
	}
	m, found, err := loadMark(path)
	if err != nil {
		return err
	}
	if !found { // it was not us who started it
		if m, err = m.begin(epoch); err != nil {
			return err
		}
	}
	if m.Identity, err = r.Identity(facts); err != nil {
		return err
	}
	m.Clean = true
	return m.save(path)
}

// flush has the file system that dir is on write everything to its disk. Not all
// services do so with their data, and a power cut right after the stop must not
// leave a mark that knows better than the data. It may take half of the time that
// is left.
func flush(ctx context.Context, dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("write all data to disk: %w", err)
	}
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/2)
		defer cancel()
	}
	done := make(chan error, 1)
	go func() { // nothing ends it before it is done
		defer f.Close()
		done <- unix.Syncfs(int(f.Fd()))
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("write all data to disk: %w", err)
	}
	return nil
}
