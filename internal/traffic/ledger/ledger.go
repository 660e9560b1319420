// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/mailha/mailha/internal/traffic/letter"
)

// Outcome says what an attempt to send a message came to.
type Outcome string

const (
	// Accepted: the service said that it has taken the message, and is responsible for it.
	Accepted Outcome = "accepted"
	// Refused: the service can't have taken the message; it is to be sent again.
	Refused Outcome = "refused"
	// Ambiguous: all of the message was sent and the answer never read, so the service may have taken it (RFC 1047). It is
	// sent again, which may make a duplicate.
	Ambiguous Outcome = "ambiguous"
)

// Attempt is a line in the ledger of a load: one attempt to have a message taken.
type Attempt struct {
	ID      string    `json:"id"`
	Outcome Outcome   `json:"outcome"`
	Number  int       `json:"attempt"` // from 1
	Rcpt    string    `json:"rcpt"`
	Size    int       `json:"size"` // octets as sent, before dot-stuffing
	Hash    string    `json:"hash"` // of the body
	Reply   string    `json:"reply"`
	At      time.Time `json:"at"`
}

func (r Attempt) check() error {
	switch r.Outcome {
	case Accepted, Refused, Ambiguous:
	default:
		return fmt.Errorf("unknown outcome %q", r.Outcome)
	}
	if !letter.ValidID(r.ID) {
		return fmt.Errorf("malformed message id %q", r.ID)
	}
	return nil
}

// Arrival is a line in the ledger of a sink: one message that was received, or found, in full.
type Arrival struct {
	ID    string    `json:"id"`   // empty for mail that is not of a load, such as bounces
	From  string    `json:"from"` // empty for the null sender
	Rcpts []string  `json:"rcpts"`
	Size  int       `json:"size"` // octets as received, after dot-unstuffing
	Hash  string    `json:"hash"` // of the body
	At    time.Time `json:"at"`
}

func (r Arrival) check() error {
	if r.ID != "" && !letter.ValidID(r.ID) {
		return fmt.Errorf("malformed message id %q", r.ID)
	}
	if len(r.Rcpts) == 0 {
		return errors.New("no recipients")
	}
	return nil
}

// Record is what a ledger is made of.
type Record interface {
	Attempt | Arrival
	check() error
}

// maxRecord bounds a line of a ledger: a thousand addresses of RFC 5321's greatest length fit in.
const maxRecord = 1 << 20

// Ledger is an append-only file of JSON lines for many goroutines. Each record is one write, so that it is in the file
// whole, or cut short at the end, whenever the process dies.
type Ledger struct {
	mu  sync.Mutex
	f   *os.File
	err error
}

// Open opens or creates the file and cuts off a torn last line that a killed writer left.
func Open(path string) (*Ledger, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if err := cutTornLine(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("open ledger %s: %w", path, err)
	}
	return &Ledger{f: f}, nil
}

func cutTornLine(f *os.File) error {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	tail := make([]byte, min(end, maxRecord))
	if _, err := f.ReadAt(tail, end-int64(len(tail))); err != nil {
		return err
	}
	whole := bytes.LastIndexByte(tail, '\n') + 1
	if whole == 0 && end > maxRecord {
		return fmt.Errorf("not a ledger: no line end in the last %d octets", maxRecord)
	}
	return f.Truncate(end - int64(len(tail)-whole))
}

// Append writes v as a line. After a failure every later call fails as well, since the file may end in half a line.
func (l *Ledger) Append(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("ledger %s: %w", l.f.Name(), err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		_, l.err = l.f.Write(append(line, '\n'))
	}
	return l.err
}

// Close closes the file.
func (l *Ledger) Close() error { return l.f.Close() }

// Read calls each for every record. A last line without a line end is one whose writer died before it acted on
// it: it is left out and reported as torn.
func Read[T Record](r io.Reader, each func(T) error) (torn bool, err error) {
	br := bufio.NewReaderSize(r, maxRecord)
	for n := 1; ; n++ {
		line, err := br.ReadSlice('\n')
		if err == io.EOF {
			return len(line) > 0, nil
		}
		if err != nil {
			return false, fmt.Errorf("line %d: %w", n, err)
		}
		var rec T
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		if err = dec.Decode(&rec); err == nil {
			if _, extra := dec.Token(); extra != io.EOF {
				err = errors.New("more than one value")
			}
		}
		if err == nil {
			err = rec.check()
		}
		if err == nil {
			err = each(rec)
		}
		if err != nil {
			return false, fmt.Errorf("line %d: %w", n, err)
		}
	}
}

// Clip keeps a foreign text to a length that fits a ledger.
func Clip(s string) string { return s[:min(len(s), 500)] }
