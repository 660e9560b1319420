// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2/unstable"
)

// place is where something is in a file.
type place struct{ line, column int }

// form is what a TOML value is.
type form string

const (
	formText    form = "a string"
	formNumber  form = "a whole number"
	formBool    form = "a boolean"
	formList    form = "an array"
	formTable   form = "a table"
	formForeign form = "a fraction or a date" // nothing in the file is one
)

// value is a value of the file with its place.
type value struct {
	at    place
	form  form
	text  string  // of strings, numbers and booleans
	list  []value // of arrays
	table *table
	// tables says that a list was made by [[headers]], which only they continue.
	tables bool
}

// table is a table of the file; a key is in it once.
type table struct {
	at     place
	keys   []key // in the file's order
	header bool  // has been opened by a [header] of its own
	closed bool  // an inline table, which nothing may continue
}

type key struct {
	name string
	at   place
	value
}

func (t *table) get(name string) *key {
	i := slices.IndexFunc(t.keys, func(k key) bool { return k.name == name })
	if i < 0 {
		return nil
	}
	return &t.keys[i]
}

func (t *table) put(name string, at place, v value) *key {
	t.keys = append(t.keys, key{name: name, at: at, value: v})
	return &t.keys[len(t.keys)-1]
}

// document is what a file says, before anybody asks what it means.
type document struct {
	file     string
	root     *table
	problems Problems
	// torn says that lines were left out because they could not be read: what is
	// missing may be there.
	torn bool

	data    []byte
	lines   []int  // where each begins
	current *table // the one that a key belongs to
}

// read takes a TOML text apart. It goes on behind what it cannot read.
func read(file string, data []byte) *document {
	data = slices.Clip(bytes.TrimPrefix(data, []byte("\ufeff")))
	d := &document{file: file, root: &table{at: place{1, 1}}, data: data, lines: []int{0}}
	d.current = d.root
	for i, b := range data {
		if b == '\n' {
			d.lines = append(d.lines, i+1)
		}
	}
	for from := 0; from < len(data); {
		from = d.statements(from)
	}
	return d
}

// statements reads on until the end or the first error, and returns where to go
// on.
func (d *document) statements(from int) int {
	part := slices.Clip(d.data[from:])
	var p unstable.Parser
	p.Reset(part)
	end := 0 // of the last statement
	for p.NextExpression() {
		r := reading{document: d, parser: &p, base: from}
		e := p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			d.current = r.header(e)
		case unstable.KeyValue:
			r.pair(d.current, e)
		}
		end = r.end(e)
	}
	err := p.Error()
	if err == nil {
		return len(d.data)
	}
	d.torn = true
	start := d.nextStatement(from + end)
	if from == 0 && end == 0 {
		start = skipBlank(d.data, 0)
	}
	at := start
	what := err.Error()
	if perr, ok := errors.AsType[*unstable.ParserError](err); ok {
		what = perr.Message
		at = from + cap(part) - cap(perr.Highlight)
	}
	if start < len(d.data) && d.data[start] == '[' {
		d.current = &table{} // whatever it is, nobody knows what its keys mean
	}
	resume := len(d.data)
	switch {
	case at < len(d.data)-1:
		resume = d.resume(start, at)
	case start < at:
		at = start // something that was opened there and never closed
	}
	d.add(d.where(at), "cannot be read as TOML: "+what, "")
	return resume
}

// nextStatement is the offset of the first statement on a line after the one
// with the offset.
func (d *document) nextStatement(after int) int {
	i := bytes.IndexByte(d.data[after:], '\n')
	if i < 0 {
		return len(d.data)
	}
	return skipBlank(d.data, after+i+1)
}

// skipBlank skips empty lines and comments.
func skipBlank(data []byte, at int) int {
	for at < len(data) {
		line, _, _ := bytes.Cut(data[at:], []byte("\n"))
		if text := bytes.TrimLeft(line, " \t\r"); len(text) > 0 && text[0] != '#' {
			return at + len(line) - len(text)
		}
		at += len(line) + 1
	}
	return len(data)
}

// resume is the offset of the first line that looks like a statement, is not
// the line of the bad one and not before the error.
func (d *document) resume(start, at int) int {
	line := max(d.where(start).line+1, d.where(at).line)
	for ; line <= len(d.lines); line++ {
		from := d.lines[line-1]
		text, _, _ := bytes.Cut(d.data[from:], []byte("\n"))
		text = bytes.TrimSpace(text)
		name, _, pair := bytes.Cut(text, []byte("="))
		if bytes.HasPrefix(text, []byte("[")) && bytes.Contains(text, []byte("]")) ||
			pair && bareKey(string(bytes.TrimSpace(name))) {
			return from
		}
	}
	return len(d.data)
}

func bareKey(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == ""
}

// where turns an offset into a place.
func (d *document) where(offset int) place {
	offset = min(offset, len(d.data))
	line, found := slices.BinarySearch(d.lines, offset)
	if found {
		line++
	}
	begin := d.lines[line-1]
	return place{line, utf8.RuneCount(d.data[begin:offset]) + 1}
}

func (d *document) add(at place, what, hint string) {
	d.problems = append(d.problems, Problem{File: d.file, Line: at.line, Column: at.column, What: what, Hint: hint})
}

// reading is a statement that the parser has before it.
type reading struct {
	*document
	parser *unstable.Parser
	base   int // of the parser's text in the file
}

func (r reading) at(n *unstable.Node) place { return r.where(r.base + int(n.Raw.Offset)) }

// end is the last offset of a statement that is known, in the parser's text.
func (r reading) end(e *unstable.Node) int {
	if e.Kind == unstable.KeyValue {
		return int(e.Raw.Offset + e.Raw.Length)
	}
	last := 0
	for it := e.Key(); it.Next(); {
		last = int(it.Node().Raw.Offset + it.Node().Raw.Length)
	}
	return last
}

type part struct {
	name string
	at   place
}

func (r reading) path(e *unstable.Node) []part {
	var path []part
	for it := e.Key(); it.Next(); {
		path = append(path, part{string(it.Node().Data), r.at(it.Node())})
	}
	return path
}

// header opens the table of a [header] or [[header]].
func (r reading) header(e *unstable.Node) *table {
	path := r.path(e)
	last := path[len(path)-1]
	t := r.descend(r.root, path[:len(path)-1])
	if t == nil {
		return &table{} // nobody will look at it; the reason has been told
	}
	have := t.get(last.name)
	next := &table{at: path[0].at, header: true}
	switch {
	case e.Kind == unstable.ArrayTable && have == nil:
		have = t.put(last.name, last.at, value{at: last.at, form: formList, tables: true})
		fallthrough
	case e.Kind == unstable.ArrayTable && have.tables:
		have.list = append(have.list, value{at: path[0].at, form: formTable, table: next})
		return next
	case e.Kind == unstable.Table && have == nil:
		t.put(last.name, last.at, value{at: path[0].at, form: formTable, table: next})
		return next
	case e.Kind == unstable.Table && have.form == formTable && !have.table.header && !have.table.closed:
		have.table.header = true
		return have.table
	}
	hint := ""
	if have.tables {
		hint = fmt.Sprintf("further ones begin with [[%s]]", dotted(path))
	}
	r.add(last.at, fmt.Sprintf("%q is there already, in line %d", dotted(path), have.at.line), hint)
	return next
}

// descend follows a dotted key, and makes what is not there yet. Nil: it leads
// through something that is no open table.
func (r reading) descend(t *table, path []part) *table {
	for i, p := range path {
		have := t.get(p.name)
		switch {
		case have == nil:
			next := &table{at: p.at}
			t.put(p.name, p.at, value{at: p.at, form: formTable, table: next})
			t = next
		case have.tables:
			t = have.list[len(have.list)-1].table
		case have.form == formTable && !have.table.closed:
			t = have.table
		default:
			r.add(p.at, fmt.Sprintf("%q cannot be continued: it was set in line %d", dotted(path[:i+1]), have.at.line), "")
			return nil
		}
	}
	return t
}

// pair puts a key into its table.
func (r reading) pair(t *table, e *unstable.Node) {
	path := r.path(e)
	last := path[len(path)-1]
	if t = r.descend(t, path[:len(path)-1]); t == nil {
		return
	}
	v := r.value(e.Value(), last.at)
	if have := t.get(last.name); have != nil {
		r.add(last.at, fmt.Sprintf("%q is there already, in line %d", last.name, have.at.line), "")
		return
	}
	t.put(last.name, last.at, v)
}

func (r reading) value(n *unstable.Node, at place) value {
	v := value{at: at, text: string(n.Data), form: formForeign}
	if n.Raw.Length > 0 {
		v.at = r.at(n)
	}
	switch n.Kind {
	case unstable.String:
		v.form = formText
	case unstable.Bool:
		v.form = formBool
	case unstable.Integer:
		i, err := strconv.ParseInt(v.text, 0, 64)
		if err != nil {
			r.add(v.at, fmt.Sprintf("%s is too large a number", v.text), "")
		}
		v.form, v.text = formNumber, strconv.FormatInt(i, 10)
	case unstable.Array:
		v.form = formList
		for it := n.Children(); it.Next(); {
			v.list = append(v.list, r.value(it.Node(), v.at))
		}
	case unstable.InlineTable:
		v.form, v.table = formTable, &table{at: v.at, header: true}
		for it := n.Children(); it.Next(); {
			r.pair(v.table, it.Node())
		}
		v.table.closed = true
	}
	return v
}

func dotted(path []part) string {
	return strings.Join(names(path, func(p part) string { return p.name }), ".")
}
