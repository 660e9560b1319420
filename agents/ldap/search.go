// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"errors"
	"fmt"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// Scope is how far a search looks: RFC 4511 section 4.5.1.2.
type Scope int

// The scopes.
const (
	Base    Scope = 0 // the entry itself
	One     Scope = 1 // those right below it
	Subtree Scope = 2 // the entry and all below it
)

// Entry is what a search found.
type Entry struct {
	DN         string
	Attributes []Attribute
}

// Attribute is a name, with options if it has some, and its values.
type Attribute struct {
	Name   string
	Values []string
}

// Values are those of an attribute. Names of attributes know no case.
func (e Entry) Values(name string) []string {
	for _, a := range e.Attributes {
		if strings.EqualFold(a.Name, name) {
			return a.Values
		}
	}
	return nil
}

// Value is the first one, or empty.
func (e Entry) Value(name string) string {
	if values := e.Values(name); len(values) > 0 {
		return values[0]
	}
	return ""
}

// Query is a search. Without attributes it asks for all that belong to users,
// "+" asks for the others, and "1.1" for none.
type Query struct {
	Base       string
	Scope      Scope
	Filter     Filter // zero: every entry
	Limit      int    // of entries; 0: the server's own
	Attributes []string
}

// Search returns what was found. With an error that is [SizeLimitExceeded] it
// returns what was found up to the limit. Referrals to other servers are not
// followed.
func (c *Conn) Search(q Query) ([]Entry, error) {
	entries, err := c.search(q)
	if err != nil {
		return entries, c.failed(fmt.Sprintf("search %q", q.Base), err)
	}
	return entries, nil
}

func (c *Conn) search(q Query) ([]Entry, error) {
	id, err := c.send(q.packet())
	if err != nil {
		return nil, err
	}
	var found []Entry
	for {
		m, err := c.receive(id)
		if err != nil {
			return nil, err
		}
		switch m.op {
		case searchEntry:
			e, err := parseEntry(m.body)
			if err != nil {
				return nil, err
			}
			found = append(found, e)
		case searchReference, intermediateReply:
		case searchDone:
			r, err := parseResult(m.body)
			if err != nil {
				return nil, err
			}
			return found, r.err()
		default:
			return nil, fmt.Errorf("%w: it has the tag %d", errMessage, m.op)
		}
	}
}

// Read returns one entry. An entry that is not there, or not shown to us, is
// [NoSuchObject].
func (c *Conn) Read(dn string, attributes ...string) (Entry, error) {
	found, err := c.Search(Query{Base: dn, Attributes: attributes})
	if err == nil && len(found) != 1 {
		err = c.failed(fmt.Sprintf("read %q", dn), NoSuchObject)
	}
	if err != nil {
		return Entry{}, err
	}
	return found[0], nil
}

// RootDSE is what the server says of itself: RFC 4512 section 5.1.
func (c *Conn) RootDSE() (Entry, error) { return c.Read("", "*", "+") }

func (q Query) packet() *ber.Packet {
	const neverDeref = 0
	op := application(searchRequest, "")
	op.AppendChild(octetString(q.Base))
	op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, int64(q.Scope), ""))
	op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, int64(neverDeref), ""))
	op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, int64(q.Limit), ""))
	op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, int64(0), ""))
	op.AppendChild(ber.NewBoolean(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, false, ""))
	op.AppendChild(q.Filter.packet())
	names := ber.NewSequence("")
	for _, name := range q.Attributes {
		names.AppendChild(octetString(name))
	}
	op.AppendChild(names)
	return op
}

var errEntry = errors.New("the server's answer is no entry")

func parseEntry(p *ber.Packet) (Entry, error) {
	if len(p.Children) < 2 {
		return Entry{}, errEntry
	}
	dn, ok := octets(p.Children[0])
	if !ok {
		return Entry{}, errEntry
	}
	e := Entry{DN: dn}
	for _, attr := range p.Children[1].Children {
		if len(attr.Children) < 2 {
			return Entry{}, errEntry
		}
		name, ok := octets(attr.Children[0])
		if !ok {
			return Entry{}, errEntry
		}
		a := Attribute{Name: name}
		for _, value := range attr.Children[1].Children {
			v, ok := octets(value)
			if !ok {
				return Entry{}, errEntry
			}
			a.Values = append(a.Values, v)
		}
		e.Attributes = append(e.Attributes, a)
	}
	return e, nil
}
