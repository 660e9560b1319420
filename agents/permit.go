// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Permits is the directory, below a state directory, of the permits that units of
// ours ask for (AssertPathExists=, systemd.unit(5)).
const Permits = "permits"

// permit is what lets systemd start a unit: a link, named like the unit, to
// something that is there only while the service's data are. So systemd starts it
// neither before the cluster has, nor again by itself once the data are gone.
func (s *Service) permit(facts Facts) error {
	target := facts.Mount.Marker
	if target == "" {
		target = "/"
	}
	path := s.permitPath(facts)
	if now, err := os.Readlink(path); err == nil && now == target {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("permit systemd to start %s: %w", facts.Unit, err)
	}
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("permit systemd to start %s: %w", facts.Unit, err)
	}
	if err := os.Symlink(target, tmp); err != nil {
		return fmt.Errorf("permit systemd to start %s: %w", facts.Unit, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("permit systemd to start %s: %w", facts.Unit, err)
	}
	return nil
}

// forbid takes the permit away. It fails nothing: a stop proves by itself that
// nothing runs.
func (s *Service) forbid(facts Facts) {
	if facts.Unit == "" {
		return
	}
	path := s.permitPath(facts)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("systemd may still start the unit by itself", "unit", facts.Unit, "error", err)
	}
	_ = os.Remove(filepath.Dir(path)) // unless there are others
}

func (s *Service) permitPath(facts Facts) string {
	return filepath.Join(s.env.StateDir, Permits, facts.Unit)
}
