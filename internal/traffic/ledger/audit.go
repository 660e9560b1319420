// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/mailha/mailha/internal/traffic/letter"
)

// maxListed bounds each list of message ids in a [Result].
const maxListed = 20

// Result is what the ledgers of one load and of the sink behind the MTA prove together. All numbers count messages
// unless they say otherwise.
type Result struct {
	Messages  int `json:"messages"`  // that the load tried to send
	Accepted  int `json:"accepted"`  // that the MTA took with a 250
	Delivered int `json:"delivered"` // accepted ones of which the sink has at least one copy
	Lost      int `json:"lost"`      // accepted ones of which the sink has none
	Corrupted int `json:"corrupted"` // ones with a copy whose body differs from what was sent
	// Ambiguous messages had at least one attempt whose final reply never came; each such attempt allows one more copy.
	Ambiguous int `json:"ambiguous"`
	// Duplicated messages were delivered more than once: Explained when their ambiguous attempts account for all their
	// copies, else Unexplained, as when an MTA was killed between the sink's 250 and its own note of it.
	Duplicated  int `json:"duplicated"`
	Explained   int `json:"duplicated_explained"`
	Unexplained int `json:"duplicated_unexplained"`
	// Unconfirmed messages were delivered but never seen accepted, which their ambiguous attempts explain.
	Unconfirmed int `json:"unconfirmed"`
	// Stray messages were delivered although every attempt was refused: one of the ledgers is not the whole story.
	Stray int `json:"stray"`
	// Foreign counts the sink's records that belong to no message of this load: bounces, and other loads.
	Foreign int `json:"foreign_records"`
	// Torn counts ledgers whose last line was cut short, because its writer was killed.
	Torn int `json:"torn_ledgers"`
	// The first few message ids of each kind, in order.
	LostIDs        []string `json:"lost_ids,omitempty"`
	CorruptedIDs   []string `json:"corrupted_ids,omitempty"`
	UnexplainedIDs []string `json:"duplicated_unexplained_ids,omitempty"`
}

// OK reports whether every accepted message arrived unharmed.
func (r Result) OK() bool { return r.Lost == 0 && r.Corrupted == 0 }

// history is what both ledgers say of one message.
type history struct {
	hash      string
	accepted  int
	ambiguous int
	copies    int
	corrupted bool
}

// AuditFiles is [Audit] for files.
func AuditFiles(loadFile, sinkFile string) (Result, error) {
	load, err := os.Open(loadFile)
	if err != nil {
		return Result{}, err
	}
	defer load.Close()
	sink, err := os.Open(sinkFile)
	if err != nil {
		return Result{}, err
	}
	defer sink.Close()
	return Audit(load, sink)
}

// Audit joins the ledger of a load with that of the sink. Its errors name the ledger and the line that it can't read,
// or that contradicts another.
func Audit(loadLedger, sinkLedger io.Reader) (Result, error) {
	var res Result
	messages := make(map[string]*history)
	torn, err := Read(loadLedger, func(r Attempt) error { return sent(messages, r) })
	if err != nil {
		return Result{}, fmt.Errorf("load ledger: %w", err)
	}
	res.tornIf(torn)
	torn, err = Read(sinkLedger, func(r Arrival) error {
		h := messages[r.ID]
		if h == nil {
			res.Foreign++
			return nil
		}
		h.copies++
		h.corrupted = h.corrupted || r.Hash != h.hash
		return nil
	})
	if err != nil {
		return Result{}, fmt.Errorf("sink ledger: %w", err)
	}
	res.tornIf(torn)
	for _, id := range slices.SortedFunc(maps.Keys(messages), letter.Compare) {
		res.add(id, messages[id])
	}
	return res, nil
}

func sent(messages map[string]*history, r Attempt) error {
	h := messages[r.ID]
	if h == nil {
		h = &history{hash: r.Hash}
		messages[r.ID] = h
	}
	if h.hash != r.Hash {
		return fmt.Errorf("message %s has two hashes: were two runs given the same name?", r.ID)
	}
	switch r.Outcome {
	case Accepted:
		if h.accepted++; h.accepted > 1 {
			return fmt.Errorf("message %s was sent again after it was accepted", r.ID)
		}
	case Ambiguous:
		h.ambiguous++
	}
	return nil
}

func (r *Result) tornIf(torn bool) {
	if torn {
		r.Torn++
	}
}

func (r *Result) add(id string, h *history) {
	r.Messages++
	r.Accepted += h.accepted
	if h.ambiguous > 0 {
		r.Ambiguous++
	}
	switch {
	case h.accepted > 0 && h.copies > 0:
		r.Delivered++
	case h.accepted > 0:
		r.Lost++
		list(&r.LostIDs, id)
	case h.copies > 0 && h.ambiguous > 0:
		r.Unconfirmed++
	case h.copies > 0:
		r.Stray++
	}
	if h.corrupted {
		r.Corrupted++
		list(&r.CorruptedIDs, id)
	}
	if h.copies < 2 {
		return
	}
	r.Duplicated++
	if h.copies <= h.accepted+h.ambiguous {
		r.Explained++
		return
	}
	r.Unexplained++
	list(&r.UnexplainedIDs, id)
}

func list(ids *[]string, id string) {
	if len(*ids) < maxListed {
		*ids = append(*ids, id)
	}
}
