// SPDX-License-Identifier: Apache-2.0

package manual

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mailha/mailha/agents"
)

// Update makes dir hold the page of each of the types, and no page of another
// agent. The date of a page is that of its last change: one in which nothing
// else would change is left as it is. Pages that are not an agent's are not
// touched.
func Update(dir string, types []agents.Type, today time.Time) error {
	stale, err := filepath.Glob(filepath.Join(dir, pageName(agents.Type{Name: "*"})+".7"))
	if err != nil {
		return fmt.Errorf("list pages: %w", err)
	}
	for _, t := range types {
		file := filepath.Join(dir, pageName(t)+".7")
		stale = slices.DeleteFunc(stale, func(f string) bool { return f == file })
		others := slices.DeleteFunc(slices.Clone(types), func(o agents.Type) bool { return o.Name == t.Name })
		if err := update(file, func(date time.Time) string { return page(t, others, date) }, today); err != nil {
			return fmt.Errorf("page of %s: %w", t.Name, err)
		}
	}
	for _, file := range stale {
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("page without an agent: %w", err)
		}
	}
	return nil
}

func update(file string, page func(time.Time) string, today time.Time) error {
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if date, ok := dateOf(string(old)); ok && page(date) == string(old) {
		return nil
	}
	return os.WriteFile(file, []byte(page(today)), 0o644)
}

// dateOf reads the date that a page was written with.
func dateOf(page string) (time.Time, bool) {
	for line := range strings.Lines(page) {
		if text, ok := strings.CutPrefix(line, ".Dd "); ok {
			date, err := time.Parse(dateLayout, strings.TrimSpace(text))
			return date, err == nil
		}
	}
	return time.Time{}, false
}
