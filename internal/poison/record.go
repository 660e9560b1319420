// SPDX-License-Identifier: Apache-2.0

package poison

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Slot is that a node can be asked, and what its silence is worth.
type Slot struct {
	// Life is the boot that keeps it: another one means that the former is over.
	Life string `json:"life"`
	// Limit is how long the node lives at most after a look that found no pill has begun.
	Limit time.Duration `json:"limit_ns"`
	// Unarmed says that this life has no watchdog yet, whatever the former had: nobody can
	// ask it to end, and its silence is worth nothing. Limit is 0.
	Unarmed bool `json:"unarmed,omitempty"`
	// Since is when it was written, by the node's clock; for people only.
	Since time.Time `json:"since"`
}

// Action is what a pill has a node do.
type Action string

// What a pill can ask for. A node that takes neither is reset by its watchdog.
const (
	PowerOff Action = "off"
	Reboot   Action = "reboot"
)

// Pill has a node end one of its lives.
type Pill struct {
	ID     string    `json:"id"`   // of this pill and no other
	Life   string    `json:"life"` // the one that is meant
	Action Action    `json:"action"`
	By     string    `json:"by"` // for people: which node has written it
	At     time.Time `json:"at"` // by the writer's clock; for people only
}

// Proof is how it is known that a life is over.
type Proof string

// The proofs of an end.
const (
	LastWord  Proof = "last word" // nothing but the writer ran on the node any more when it was written
	NewLife   Proof = "new boot"  // the node has come up anew since
	TimeIsUp  Proof = "watchdog"  // nobody can have fed its watchdog for so long
	WasProved Proof = "known"     // somebody has proved it before
)

// Word is that a life is over.
type Word struct {
	Pill  string `json:"pill"`
	Life  string `json:"life"`
	Proof Proof  `json:"proof"`
}

// Bounds of what is read.
const (
	maxRecord = 4 << 10
	maxText   = 256
	// MinLimit and MaxLimit are what a slot may say: leases are from 2 seconds to 5
	// minutes, with margins of half of that at most.
	MinLimit = time.Second
	MaxLimit = 10 * time.Minute
)

// ErrFormat: a record in etcd is none of this package's.
var ErrFormat = errors.New("unreadable record")

func (s Slot) check() error {
	if s.Unarmed && s.Limit == 0 {
		return texts(s.Life)
	}
	if s.Unarmed || s.Limit < MinLimit || s.Limit > MaxLimit {
		return fmt.Errorf("its limit is %s", s.Limit)
	}
	return texts(s.Life)
}

func (p Pill) check() error {
	if p.Action != PowerOff && p.Action != Reboot {
		return fmt.Errorf("it asks for %.20q", p.Action)
	}
	return texts(p.ID, p.Life)
}

func (w Word) check() error { return texts(w.Pill, w.Life) }

// texts sees that there is something to compare.
func texts(all ...string) error {
	for _, s := range all {
		if s == "" || len(s) > maxText {
			return errors.New("a field is empty or too long")
		}
	}
	return nil
}

func encode(record any) (string, error) {
	data, err := json.Marshal(record)
	if err != nil {
		return "", fmt.Errorf("encode a record: %w", err)
	}
	return string(data), nil
}

// decode reads what somebody wrote. It takes nothing that it does not know: a newer
// writer's word may mean something else.
func decode[T interface{ check() error }](key string, data []byte) (T, error) {
	var record T
	wrong := func(err error) (T, error) {
		var none T
		return none, fmt.Errorf("etcd's key %s: %w: %w; was it written by another version of mailha?", key, ErrFormat, err)
	}
	if len(data) > maxRecord {
		return wrong(fmt.Errorf("it has %d bytes", len(data)))
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&record); err != nil {
		return wrong(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return wrong(errors.New("something follows the record"))
	}
	if err := record.check(); err != nil {
		return wrong(err)
	}
	return record, nil
}
