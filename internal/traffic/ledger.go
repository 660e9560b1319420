// SPDX-License-Identifier: Apache-2.0

package traffic

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
)

// outcome says what an attempt to send a message came to.
type outcome string

const (
	// accepted: the final 250 was read, so the MTA is responsible for the message.
	accepted outcome = "accepted"
	// refused: the MTA can't have taken the message; it is to be sent again.
	refused outcome = "refused"
	// ambiguous: the final dot was sent and its reply never read, so the MTA may have taken the message (RFC 1047). It is
	// sent again, which may make a duplicate.
	ambiguous outcome = "ambiguous"
)

// sendRecord is a line in the ledger of a load: one attempt.
type sendRecord struct {
	ID      string    `json:"id"`
	Outcome outcome   `json:"outcome"`
	Attempt int       `json:"attempt"` // from 1
	Rcpt    string    `json:"rcpt"`
	Size    int       `json:"size"` // octets as sent, before dot-stuffing
	Hash    string    `json:"hash"` // of the body
	Reply   string    `json:"reply"`
	At      time.Time `json:"at"`
}

func (r sendRecord) check() error {
	switch r.Outcome {
	case accepted, refused, ambiguous:
	default:
		return fmt.Errorf("unknown outcome %q", r.Outcome)
	}
	if !validID(r.ID) {
		return fmt.Errorf("malformed message id %q", r.ID)
	}
	return nil
}

// deliveryRecord is a line in the ledger of a sink: one message that was received in full.
type deliveryRecord struct {
	ID    string    `json:"id"`   // empty for mail that is not of a load, such as bounces
	From  string    `json:"from"` // empty for the null sender
	Rcpts []string  `json:"rcpts"`
	Size  int       `json:"size"` // octets as received, after dot-unstuffing
	Hash  string    `json:"hash"` // of the body
	At    time.Time `json:"at"`
}

func (r deliveryRecord) check() error {
	if r.ID != "" && !validID(r.ID) {
		return fmt.Errorf("malformed message id %q", r.ID)
	}
	if len(r.Rcpts) == 0 {
		return errors.New("no recipients")
	}
	return nil
}

// maxRecord bounds a line of a ledger: maxRecipients addresses of RFC 5321's greatest length fit in.
const maxRecord = 1 << 20

// ledger is an append-only file of JSON lines for many goroutines. Each record is one write, so that it is in the file
// whole, or cut short at the end, whenever the process dies.
type ledger struct {
	mu  sync.Mutex
	f   *os.File
	err error
}

// openLedger opens or creates the file and cuts off a torn last line that a killed writer left.
func openLedger(path string) (*ledger, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if err := cutTornLine(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("open ledger %s: %w", path, err)
	}
	return &ledger{f: f}, nil
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

// append writes v as a line. After a failure every later call fails as well, since the file may end in half a line.
func (l *ledger) append(v any) error {
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

func (l *ledger) close() error { return l.f.Close() }

// readLedger calls each for every record. A last line without a line end is one whose writer died before it acted on
// it: it is left out and reported as torn.
func readLedger[T interface{ check() error }](r io.Reader, each func(T) error) (torn bool, err error) {
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
