// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"errors"
	"fmt"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// The operations of RFC 4511 section 4.2 and following, by their tags.
const (
	opBind         = 0
	opBindDone     = 1
	opUnbind       = 2
	opSearch       = 3
	opEntry        = 4
	opSearchDone   = 5
	opModify       = 6
	opModifyDone   = 7
	opAdd          = 8
	opAddDone      = 9
	opReference    = 19
	opExtendedDone = 24
)

// Result codes: RFC 4511 section 4.1.9.
const (
	codeSuccess           = 0
	codeValueExists       = 20
	codeEntryExists       = 68
	noticeOfDisconnection = "1.3.6.1.4.1.1466.20036"
)

var errMalformed = errors.New("malformed LDAP message")

// Attribute is one of an entry, with its values.
type Attribute struct {
	Name   string
	Values []string
}

// Entry is one that a search found.
type Entry struct {
	DN         string
	Attributes []Attribute
}

// Values gives those of an attribute.
func (e Entry) Values(name string) []string {
	for _, a := range e.Attributes {
		if a.Name == name {
			return a.Values
		}
	}
	return nil
}

// Message is one from a server.
type Message struct {
	ID   int64 // of the request; 0: unsolicited
	Op   ber.Tag
	Code int64  // of a result
	Text string // of a result, for people
	OID  string // of an extended result
	Entry
}

// String gives what ledgers keep of a result.
func (m Message) String() string { return fmt.Sprintf("result %d %s", m.Code, m.Text) }

// parse takes a message apart.
func parse(p *ber.Packet) (Message, error) {
	if p.ClassType != ber.ClassUniversal || p.Tag != ber.TagSequence || len(p.Children) < 2 {
		return Message{}, fmt.Errorf("%w: no sequence", errMalformed)
	}
	id, ok := p.Children[0].Value.(int64)
	op := p.Children[1]
	if !ok || op.ClassType != ber.ClassApplication {
		return Message{}, fmt.Errorf("%w: no message id or no operation", errMalformed)
	}
	m := Message{ID: id, Op: op.Tag}
	switch op.Tag {
	case opEntry:
		return m, m.Entry.parse(op)
	case opReference:
		return m, nil
	}
	if len(op.Children) < 3 {
		return Message{}, fmt.Errorf("%w: no result in operation %d", errMalformed, op.Tag)
	}
	if m.Code, ok = op.Children[0].Value.(int64); !ok {
		return Message{}, fmt.Errorf("%w: no result code in operation %d", errMalformed, op.Tag)
	}
	m.Text = text(op.Children[2])
	for _, c := range op.Children[3:] {
		if op.Tag == opExtendedDone && c.ClassType == ber.ClassContext && c.Tag == 10 {
			m.OID = text(c)
		}
	}
	return m, nil
}

func (e *Entry) parse(op *ber.Packet) error {
	if len(op.Children) < 2 {
		return fmt.Errorf("%w: entry without attributes", errMalformed)
	}
	e.DN = text(op.Children[0])
	for _, c := range op.Children[1].Children {
		if len(c.Children) < 2 {
			return fmt.Errorf("%w: attribute without values in %s", errMalformed, e.DN)
		}
		a := Attribute{Name: text(c.Children[0])}
		for _, v := range c.Children[1].Children {
			a.Values = append(a.Values, text(v))
		}
		e.Attributes = append(e.Attributes, a)
	}
	return nil
}

// text gives the octets of a primitive.
func text(p *ber.Packet) string {
	if p.Data == nil {
		return ""
	}
	return p.Data.String()
}

func octets(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

func sequence(children ...*ber.Packet) *ber.Packet {
	return constructed(ber.ClassUniversal, ber.TagSequence, children...)
}

func operation(tag ber.Tag, children ...*ber.Packet) *ber.Packet {
	return constructed(ber.ClassApplication, tag, children...)
}

func constructed(class ber.Class, tag ber.Tag, children ...*ber.Packet) *ber.Packet {
	p := ber.Encode(class, ber.TypeConstructed, tag, nil, "")
	for _, c := range children {
		p.AppendChild(c)
	}
	return p
}

func number(tag ber.Tag, n int64) *ber.Packet {
	return ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, tag, n, "")
}

// attribute is an attribute with its values: PartialAttribute.
func attribute(a Attribute) *ber.Packet {
	values := constructed(ber.ClassUniversal, ber.TagSet)
	for _, v := range a.Values {
		values.AppendChild(octets(v))
	}
	return sequence(octets(a.Name), values)
}

// bindRequest is a simple bind: section 4.2.
func bindRequest(dn, password string) *ber.Packet {
	return operation(opBind, number(ber.TagInteger, 3), octets(dn),
		ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, password, ""))
}

func addRequest(dn string, attributes ...Attribute) *ber.Packet {
	list := sequence()
	for _, a := range attributes {
		list.AppendChild(attribute(a))
	}
	return operation(opAdd, octets(dn), list)
}

// How a modification changes an attribute: section 4.6.
const (
	changeAdd     = 0
	changeReplace = 2
)

func modifyRequest(dn string, change int64, a Attribute) *ber.Packet {
	return operation(opModify, octets(dn), sequence(sequence(number(ber.TagEnumerated, change), attribute(a))))
}

// Scopes of a search: section 4.5.1.2.
const (
	ScopeBase    = 0
	ScopeOne     = 1
	ScopeSubtree = 2
)

// searchRequest asks for all entries, whatever their class.
func searchRequest(base string, scope int64, attributes ...string) *ber.Packet {
	list := sequence()
	for _, a := range attributes {
		list.AppendChild(octets(a))
	}
	return operation(opSearch, octets(base), number(ber.TagEnumerated, scope), number(ber.TagEnumerated, 0),
		number(ber.TagInteger, 0), number(ber.TagInteger, 0),
		ber.NewBoolean(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, false, ""),
		ber.NewString(ber.ClassContext, ber.TypePrimitive, 7, "objectClass", ""), list)
}
