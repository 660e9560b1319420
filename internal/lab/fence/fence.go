// SPDX-License-Identifier: Apache-2.0

// Package fence is how the nodes of a lab shut each other down for real: an
// agent that Pacemaker runs inside a node asks a server on the host, through a
// socket in the directory that both share, and the server cuts the power.
//
// It must never report a node as off before the server's [Power] has proved it.
package fence

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// SocketName is the server's socket within the shared directory.
const SocketName = "fence.sock"

// Actions of a fence agent that the server carries out.
const (
	Off    = "off"
	On     = "on"
	Reboot = "reboot"
	Status = "status"
	List   = "list"
)

// Power switches nodes. Off returns nil only when the node is proved to be off;
// both Off and On do nothing to a node that is so already.
type Power interface {
	Nodes() []string
	Off(ctx context.Context, node string) error
	On(ctx context.Context, node string) error
	IsOn(node string) (bool, error)
}

// Event is one action that was carried out, or failed.
type Event struct {
	Time   time.Time     `json:"time"` // when it was asked for
	Action string        `json:"action"`
	Node   string        `json:"node"`
	Took   time.Duration `json:"took"`          // nanoseconds, until it was done
	OffIn  time.Duration `json:"off_in"`        // nanoseconds, until the node was proved off; 0 if it was not asked to be
	Err    string        `json:"err,omitempty"` // why it failed
}

// History reads the events that a server has written to its log, oldest first;
// none if there is no log.
func History(log string) ([]Event, error) {
	f, err := os.Open(log)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var events []Event
	dec := json.NewDecoder(bufio.NewReader(f))
	for {
		var e Event
		switch err := dec.Decode(&e); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // the last line is being written
			return events, nil
		case err != nil:
			return events, fmt.Errorf("%s: %w", log, err)
		}
		events = append(events, e)
	}
}

type request struct {
	Action string `json:"action"`
	Node   string `json:"node"`
}

type reply struct {
	Err   string   `json:"err,omitempty"`
	On    bool     `json:"on"`              // status
	Nodes []string `json:"nodes,omitempty"` // list
}
