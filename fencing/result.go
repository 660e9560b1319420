// SPDX-License-Identifier: Apache-2.0

package fencing

import (
	"fmt"
	"strings"
	"time"
)

// Result is what came of fencing a node.
type Result struct {
	Node string `json:"node"`
	// Confirmed says that it is off for certain, at the moment of Ended. Whatever it had
	// may be started elsewhere.
	Confirmed bool `json:"confirmed"`
	// Level and By are whose devices switched it off.
	Level int       `json:"level,omitempty"`
	By    []string  `json:"by,omitempty"`
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended"` // confirmed, or given up
	// Reason is one sentence for people, without the end of it.
	Reason string `json:"reason"`
	// Tries are what was tried, in the order of their ends.
	Tries []Try `json:"tries,omitempty"`
}

// Try is one attempt with one device.
type Try struct {
	Device  string        `json:"device"`
	Level   int           `json:"level"`
	Action  string        `json:"action"`            // off, with the status that proves it; reboot; or on
	Attempt int           `json:"attempt,omitempty"` // from 1
	Began   time.Time     `json:"began"`
	Took    time.Duration `json:"took"`          // nanoseconds
	Err     string        `json:"err,omitempty"` // why it failed; empty: it did what it should
}

// Took is how long it was until it was confirmed or given up.
func (r Result) Took() time.Duration { return r.Ended.Sub(r.Began) }

func (r Result) String() string { return r.Reason }

// Lines are the whole of it for people: what came of it, and under that each try.
func (r Result) Lines() []string {
	lines := []string{r.Reason}
	for _, t := range r.Tries {
		lines = append(lines, "  "+t.Began.Format(time.TimeOnly)+" "+t.String())
	}
	return lines
}

func (t Try) String() string {
	s := fmt.Sprintf("level %d: %s: %s", t.Level, t.Device, t.Action)
	if t.Attempt > 1 {
		s += fmt.Sprintf(", attempt %d", t.Attempt)
	}
	if t.Err != "" {
		return s + ": " + t.Err
	}
	return s + " done in " + short(t.Took)
}

// short writes a span of time with what people want to know of it.
func short(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// verdict is the sentence of a result.
func (r Result) verdict() string {
	if r.Confirmed {
		says := "says"
		if len(r.By) > 1 {
			says = "say"
		}
		return fmt.Sprintf("node %s is off: %s %s so, %s after the order", r.Node, list(r.By), says, short(r.Took()))
	}
	return fmt.Sprintf("node %s may still be running", r.Node)
}

// failures are what went wrong last with each device, in order.
func (r Result) failures() string {
	var order []string
	last := map[string]string{}
	for _, t := range r.Tries {
		if t.Err == "" {
			continue
		}
		if _, ok := last[t.Device]; !ok {
			order = append(order, t.Device)
		}
		last[t.Device] = t.Err
	}
	var all []string
	for _, device := range order {
		all = append(all, device+" "+last[device])
	}
	return strings.Join(all, "; ")
}

// list writes a, b and c.
func list(all []string) string {
	if len(all) < 2 {
		return strings.Join(all, "")
	}
	last := len(all) - 1
	return strings.Join(all[:last], ", ") + " and " + all[last]
}
