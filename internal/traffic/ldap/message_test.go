// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/google/go-cmp/cmp"
)

func parseBytes(b []byte) (Message, error) {
	p, err := ber.DecodePacketErr(b)
	if err != nil {
		return Message{}, err
	}
	return parse(p)
}

func resultPacket(id int64, tag ber.Tag, code int64, more ...*ber.Packet) *ber.Packet {
	op := operation(tag, number(ber.TagEnumerated, code), octets(""), octets("why"))
	for _, m := range more {
		op.AppendChild(m)
	}
	return sequence(number(ber.TagInteger, id), op)
}

func TestParse(t *testing.T) {
	notice := resultPacket(0, opExtendedDone, 52, ber.NewString(ber.ClassContext, ber.TypePrimitive, 10, noticeOfDisconnection, ""))
	entry := sequence(number(ber.TagInteger, 3), operation(opEntry, octets("cn=x"),
		sequence(attribute(Attribute{"description", []string{"a", "b"}}), attribute(Attribute{Name: "empty"}))))
	for _, tt := range []struct {
		name string
		p    *ber.Packet
		want Message
	}{
		{"result", resultPacket(5, opAddDone, 68), Message{ID: 5, Op: opAddDone, Code: 68, Text: "why"}},
		{"notice", notice, Message{Op: opExtendedDone, Code: 52, Text: "why", OID: noticeOfDisconnection}},
		{"entry", entry, Message{ID: 3, Op: opEntry, Entry: Entry{"cn=x", []Attribute{{"description", []string{"a", "b"}}, {Name: "empty"}}}}},
		{"reference", sequence(number(ber.TagInteger, 3), operation(opReference, octets("ldap://x"))), Message{ID: 3, Op: opReference}},
	} {
		got, err := parseBytes(tt.p.Bytes())
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", tt.name, err, diff)
		}
	}
	for name, p := range map[string]*ber.Packet{
		"no sequence":  octets("x"),
		"empty":        sequence(),
		"no operation": sequence(number(ber.TagInteger, 1), octets("x")),
		"no id":        sequence(octets("x"), operation(opAddDone)),
		"no result":    sequence(number(ber.TagInteger, 1), operation(opAddDone)),
		"no code":      sequence(number(ber.TagInteger, 1), operation(opAddDone, octets("x"), octets(""), octets(""))),
		"bare entry":   sequence(number(ber.TagInteger, 1), operation(opEntry, octets("cn=x"))),
		"bare value":   sequence(number(ber.TagInteger, 1), operation(opEntry, octets("cn=x"), sequence(sequence(octets("a"))))),
	} {
		if m, err := parseBytes(p.Bytes()); err == nil {
			t.Errorf("%s: parsed as %+v", name, m)
		}
	}
}

// The parser takes whatever a server may send.
func FuzzParse(f *testing.F) {
	f.Add(resultPacket(1, opBindDone, 0).Bytes())
	f.Add(sequence(number(ber.TagInteger, 3), operation(opEntry, octets("cn=x"), sequence(attribute(Attribute{"a", []string{"b"}})))).Bytes())
	f.Add([]byte("\x30\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseBytes(b)
		if err == nil && m.Op != opEntry && m.Entry.DN != "" {
			t.Errorf("%x: an entry in operation %d", b, m.Op)
		}
	})
}
