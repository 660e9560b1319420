// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// A command's connection carries frames: a kind, the length of what follows, and that.
// The host sends a request, then input to its end; the guest sends output, then the exit.
// A connection that ends before the exit ends the command.
type kind byte

const (
	request kind = iota // JSON of Request
	input               // of the command's standard input; empty: its end
	output              // of its standard output
	errout              // of its standard error
	exit                // JSON of Exit
)

const largest = 1 << 20 // of a frame

// Request is a command.
type Request struct {
	Argv []string `json:"argv"`
	Env  []string `json:"env"`
}

// Exit is how it ended.
type Exit struct {
	Code   int    `json:"code"`
	Signal int    `json:"signal"`          // 0: none
	Error  string `json:"error,omitempty"` // it did not start
}

var errFrame = errors.New("frame out of place")

// frames writes them, from several goroutines.
type frames struct {
	mu sync.Mutex
	w  io.Writer
}

func (f *frames) send(k kind, data []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.w.Write(append(binary.BigEndian.AppendUint32([]byte{byte(k)}, uint32(len(data))), data...))
	return err
}

func (f *frames) sendJSON(k kind, what any) error {
	data, err := json.Marshal(what)
	if err != nil {
		return err
	}
	return f.send(k, data)
}

// receive reads the next one. io.EOF: there is none.
func receive(r io.Reader) (kind, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size > largest || kind(head[0]) > exit {
		return 0, nil, fmt.Errorf("%w: kind %d of %d bytes", errFrame, head[0], size)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		return 0, nil, fmt.Errorf("%w: cut off: %w", errFrame, err)
	}
	return kind(head[0]), data, nil
}

// stream is a writer of frames of one kind.
type stream struct {
	f *frames
	k kind
}

func (s stream) Write(p []byte) (int, error) {
	for n := 0; n < len(p); n += largest {
		if err := s.f.send(s.k, p[n:min(n+largest, len(p))]); err != nil {
			return n, err
		}
	}
	return len(p), nil
}
