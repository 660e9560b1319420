// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Value is the place where a parameter's text ends up. Its text before the
// first Set is the parameter's default.
type Value interface {
	Set(text string) error
	String() string
	// OCFType is the content type in OCF metadata: string, integer or boolean.
	OCFType() string
}

// Param is one row of a parameter table.
type Param struct {
	Name       string
	Value      Value
	Required   bool
	Unique     string // name of the group whose values together are unique in the cluster; empty: not unique
	Reloadable bool   // a change needs no restart
	Short      string // one line, no full stop
	Long       string // sentences; default and unit are said elsewhere
}

// Table lists the parameters of one agent. Nothing about a parameter is
// written anywhere else.
type Table []Param

// With returns the table with further rows.
func (t Table) With(rows ...Param) Table { return append(t, rows...) }

// ParamError says which parameter is wrong and why.
type ParamError struct {
	Name, Text string
	Err        error
}

func (e *ParamError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("parameter %s: %v", e.Name, e.Err)
	}
	return fmt.Sprintf("parameter %s=%q: %v", e.Name, e.Text, e.Err)
}

// Unwrap makes every ParamError an [ErrParameter].
func (e *ParamError) Unwrap() []error { return []error{ErrParameter, e.Err} }

var (
	errMissing = errors.New("required, but not set")
	errUnknown = errors.New("no such parameter")
)

// Parse sets every parameter that values has, and reports all that is wrong at
// once. Parameters that could be set are set even if others could not, so that
// a stop can work with what there is. An empty text means "not given".
func (t Table) Parse(values map[string]string) error {
	var errs []error
	for _, p := range t {
		text := strings.TrimSpace(values[p.Name])
		if text == "" {
			if p.Required {
				errs = append(errs, &ParamError{Name: p.Name, Err: errMissing})
			}
			continue
		}
		if err := p.Value.Set(text); err != nil {
			errs = append(errs, &ParamError{Name: p.Name, Text: text, Err: err})
		}
	}
	return errors.Join(errs...)
}

// Unknown reports the names in values that the table does not have, with the
// closest name that it does have: a misspelt parameter is silently its default
// otherwise.
func (t Table) Unknown(values map[string]string) error {
	var errs []error
	for name := range values {
		if t.has(name) {
			continue
		}
		err := errUnknown
		if near := t.nearest(name); near != "" {
			err = fmt.Errorf("%w; did you mean %s?", errUnknown, near)
		}
		errs = append(errs, &ParamError{Name: name, Err: err})
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

func (t Table) has(name string) bool {
	return slices.ContainsFunc(t, func(p Param) bool { return p.Name == name })
}

func (t Table) nearest(name string) string {
	best, dist := "", max(2, len(name)/3)+1
	for _, p := range t {
		if d := editDistance(name, p.Name); d < dist {
			best, dist = p.Name, d
		}
	}
	return best
}

// editDistance counts the insertions, deletions and replacements between a and b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
