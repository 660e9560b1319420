// SPDX-License-Identifier: Apache-2.0

package directory

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// csns are the last changes that a replica has, by the server that took them
// from a client: the values of contextCSN. Each is the time of the change, a
// count, the server's ID and another count, "20260101000000.000000Z#000000#001#000000",
// of fixed width, so that texts compare as the changes followed each other.
type csns map[string]string

const (
	csnTime   = "20060102150405.000000Z"
	csnLength = len("20260101000000.000000Z#000000#001#000000")
	idStart   = len("20260101000000.000000Z#000000#")
	idEnd     = idStart + 3
)

func parseCSNs(values []string) (csns, error) {
	c := csns{}
	for _, v := range values {
		id, err := serverOf(v)
		if err != nil {
			return nil, err
		}
		c[id] = max(c[id], v)
	}
	return c, nil
}

// serverOf is the ID of the server that took the change.
func serverOf(csn string) (string, error) {
	if len(csn) != csnLength || csn[idStart-1] != '#' || csn[idEnd] != '#' {
		return "", fmt.Errorf("%q is no number of a change", csn)
	}
	if _, err := time.Parse(csnTime, csn[:len(csnTime)]); err != nil {
		return "", fmt.Errorf("%q is no number of a change: %w", csn, err)
	}
	return csn[idStart:idEnd], nil
}

// lacks lists the servers of which other has changes that c does not have.
func (c csns) lacks(other csns) []string {
	var ids []string
	for id, csn := range other {
		if csn > c[id] {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// state is what a replica has, by the suffix of the database.
type state map[string]csns

// lacks says whether other has a change that s does not have.
func (s state) lacks(other state) bool {
	for suffix, c := range other {
		if len(s[suffix].lacks(c)) > 0 {
			return true
		}
	}
	return false
}

// join is all that one of both has.
func (s state) join(other state) state {
	all := state{}
	for _, part := range []state{s, other} {
		for suffix, c := range part {
			if all[suffix] == nil {
				all[suffix] = csns{}
			}
			for id, csn := range c {
				all[suffix][id] = max(all[suffix][id], csn)
			}
		}
	}
	return all
}

// explain says what s lacks of other, for a person.
func (s state) explain(other state) string {
	var parts []string
	for _, suffix := range slices.Sorted(maps.Keys(other)) {
		for _, id := range s[suffix].lacks(other[suffix]) {
			has := "nothing"
			if csn := s[suffix][id]; csn != "" {
				has = "changes up to " + shortTime(csn)
			}
			parts = append(parts, fmt.Sprintf("of server %s in %s it has %s instead of %s", strings.TrimLeft(id, "0"), suffix, has, shortTime(other[suffix][id])))
		}
	}
	return strings.Join(parts, ", ")
}

// shortTime is a change's time of day, and its date.
func shortTime(csn string) string {
	t, err := time.Parse(csnTime, csn[:min(len(csn), len(csnTime))])
	if err != nil {
		return csn
	}
	return t.Format("2006-01-02 15:04:05.000")
}
