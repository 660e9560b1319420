// SPDX-License-Identifier: Apache-2.0

package internet

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/mailha/mailha/agents"
)

// result is how one part is.
type result struct {
	part *part
	err  error
}

// each does something with all of the parts at once, since each waits for its
// own clients.
func (*agent) each(parts []*part, do func(*part) error) []result {
	results := make([]result, len(parts))
	var all sync.WaitGroup
	for i, p := range parts {
		all.Go(func() { results[i] = result{p, do(p)} })
	}
	all.Wait()
	return results
}

// judge makes one answer of those of the parts: nil if all are well, an error
// that wraps [agents.ErrDegraded] while enough of them serve, and another error
// otherwise.
func (a *agent) judge(results []result) error {
	var poor, bad []string
	var class error // of the first that does not serve
	needed := false
	for _, r := range results {
		switch {
		case r.err == nil:
		case errors.Is(r.err, agents.ErrDegraded):
			poor = append(poor, fmt.Sprintf("%s: %s", r.part.name, reason(r.err)))
		default:
			bad = append(bad, fmt.Sprintf("%s: %s", r.part.name, reason(r.err)))
			needed = needed || r.part.required()
			if class == nil {
				class = classOf(r.err)
			}
		}
	}
	text := strings.Join(append(bad, poor...), "; ")
	switch {
	case text == "":
		return nil
	case needed || len(bad) == len(results):
		if class != nil {
			return fmt.Errorf("%w: %s", class, text)
		}
		return errors.New(text)
	}
	return fmt.Errorf("%w: %s", agents.ErrDegraded, text)
}

// classOf is what the caller has to act on. That a part is stopped says nothing
// of the whole.
func classOf(err error) error {
	for _, class := range []error{agents.ErrParameter, agents.ErrInstalled, agents.ErrNode, agents.ErrPermission} {
		if errors.Is(err, class) {
			return class
		}
	}
	return nil
}
