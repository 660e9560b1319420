// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// MarshalText writes a line for each field. Only the facts about a service are JSON:
// a monitor of addresses would spend as much time on learning the type for JSON
// as on looking at the addresses.
func (r record) MarshalText() ([]byte, error) {
	var b bytes.Buffer
	for _, p := range r.Addresses {
		fmt.Fprintf(&b, "address=%s\n", p)
	}
	for _, a := range r.Shared {
		fmt.Fprintf(&b, "shared=%s\n", a)
	}
	if r.Promoted {
		b.WriteString("promoted\n")
	}
	if r.Facts.Unit != "" {
		facts, err := json.Marshal(r.Facts)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "facts=%s\n", facts)
	}
	// In UTC: with any other zone, reading it back would begin with the zone's file.
	fmt.Fprintf(&b, "announced=%s\n", r.Announced.UTC().Format(time.RFC3339Nano))
	fmt.Fprintf(&b, "started=%s\n", r.Started.UTC().Format(time.RFC3339Nano))
	return b.Bytes(), nil
}

// UnmarshalText wants the last line to be there, and every line to be known.
func (r *record) UnmarshalText(text []byte) error {
	var read record
	complete := false
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		var err error
		switch name {
		case "address":
			var p netip.Prefix
			p, err = netip.ParsePrefix(value)
			read.Addresses = append(read.Addresses, p)
		case "shared":
			var a netip.Addr
			a, err = netip.ParseAddr(value)
			read.Shared = append(read.Shared, a)
		case "promoted":
			read.Promoted = true
		case "facts":
			err = json.Unmarshal([]byte(value), &read.Facts)
		case "announced":
			err = read.Announced.UnmarshalText([]byte(value))
		case "started":
			err = read.Started.UnmarshalText([]byte(value))
			complete = strings.HasSuffix(line, "\n")
		default:
			err = errors.New("unknown")
		}
		if err != nil {
			return fmt.Errorf("line %q: %w", line, err)
		}
	}
	if !complete {
		return errors.New("the end is missing")
	}
	*r = read
	return nil
}
