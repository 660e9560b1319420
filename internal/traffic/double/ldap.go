// SPDX-License-Identifier: Apache-2.0

package double

import (
	"bufio"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// LDAP is a directory of entries with descriptions, which takes the password "secret". Its stages are bind, add, modify,
// search, and idle, which comes after each bind; what it says there is the result code in Say's place, or Notice.
type LDAP struct {
	double
	// Code is the result at the stage, instead of doing what was asked; below 0 there is none.
	Code int64
	// Notice is sent at the stage: the notice of disconnection.
	Notice bool

	data    sync.Mutex
	entries map[string][]string
}

// StartLDAP starts a directory whose reaction is a result code, or nothing if that is below 0.
func StartLDAP(t *testing.T, r Reaction, code int64, notice bool) *LDAP {
	t.Helper()
	d := &LDAP{double: double{reaction: r}, Code: code, Notice: notice, entries: make(map[string][]string)}
	d.start(t, d.serve)
	return d
}

// Values gives the descriptions of all entries, in order.
func (d *LDAP) Values() []string {
	d.data.Lock()
	defer d.data.Unlock()
	var all []string
	for _, values := range d.entries {
		all = append(all, values...)
	}
	slices.Sort(all)
	return all
}

// Forget loses an entry.
func (d *LDAP) Forget(dn string) {
	d.data.Lock()
	defer d.data.Unlock()
	delete(d.entries, dn)
}

// stage names a request.
func stage(op ber.Tag) string {
	return map[ber.Tag]string{0: "bind", 6: "modify", 8: "add", 3: "search"}[op]
}

func (d *LDAP) serve(conn *net.TCPConn, first bool) {
	for br := bufio.NewReader(conn); ; {
		p, err := ber.ReadPacket(br)
		if err != nil || len(p.Children) < 2 {
			return
		}
		id, _ := p.Children[0].Value.(int64)
		op := p.Children[1]
		if op.Tag == 2 {
			d.quits.Add(1)
			return
		}
		stage := stage(op.Tag)
		if first && stage == d.reaction.Stage {
			if !d.react(conn, id, op.Tag+1) {
				return
			}
			continue
		}
		code := int64(0)
		switch stage {
		case "bind":
			if op.Children[2].Data.String() != "secret" {
				code = 49
			}
		case "add":
			code = d.add(op)
		case "modify":
			code = d.modify(op)
		case "search":
			if !d.search(conn, id) {
				return
			}
		}
		answer := op.Tag + 1
		if stage == "search" {
			answer = 5
		}
		if _, err := conn.Write(result(id, answer, code).Bytes()); err != nil {
			return
		}
		if stage == "bind" && first && d.reaction.Stage == "idle" && !d.react(conn, 0, 0) {
			return
		}
	}
}

func (d *LDAP) react(conn *net.TCPConn, id int64, answer ber.Tag) bool {
	if answer == 4 {
		answer = 5
	}
	if d.Notice {
		p := result(0, 24, 52)
		p.Children[1].AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 10, "1.3.6.1.4.1.1466.20036", ""))
		conn.Write(envelope(0, p.Children[1]).Bytes())
	} else if d.Code >= 0 {
		conn.Write(result(id, answer, d.Code).Bytes())
	}
	return d.end(conn)
}

func envelope(id int64, op *ber.Packet) *ber.Packet {
	p := ber.NewSequence("")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	p.AppendChild(op)
	return p
}

func result(id int64, tag ber.Tag, code int64) *ber.Packet {
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, code, ""))
	op.AppendChild(octets(""))
	op.AppendChild(octets("double says so"))
	return envelope(id, op)
}

func octets(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

func (d *LDAP) add(op *ber.Packet) int64 {
	d.data.Lock()
	defer d.data.Unlock()
	dn := op.Children[0].Data.String()
	if _, ok := d.entries[dn]; ok {
		return 68
	}
	d.entries[dn] = []string{}
	for _, a := range op.Children[1].Children {
		d.put(dn, a)
	}
	return 0
}

// put adds an attribute's values, if they are descriptions.
func (d *LDAP) put(dn string, a *ber.Packet) {
	if a.Children[0].Data.String() != "description" {
		return
	}
	for _, v := range a.Children[1].Children {
		d.entries[dn] = append(d.entries[dn], v.Data.String())
	}
}

func (d *LDAP) modify(op *ber.Packet) int64 {
	d.data.Lock()
	defer d.data.Unlock()
	dn := op.Children[0].Data.String()
	if _, ok := d.entries[dn]; !ok {
		return 32
	}
	change := op.Children[1].Children[0]
	if change.Children[0].Value.(int64) == 2 {
		d.entries[dn] = nil
	}
	if slices.Contains(d.entries[dn], change.Children[1].Children[1].Children[0].Data.String()) {
		return 20
	}
	d.put(dn, change.Children[1])
	return 0
}

func (d *LDAP) search(conn *net.TCPConn, id int64) bool {
	d.data.Lock()
	defer d.data.Unlock()
	for _, dn := range slices.Sorted(maps.Keys(d.entries)) {
		values := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		for _, v := range d.entries[dn] {
			values.AppendChild(octets(v))
		}
		a := ber.NewSequence("")
		a.AppendChild(octets("description"))
		a.AppendChild(values)
		list := ber.NewSequence("")
		list.AppendChild(a)
		op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, 4, nil, "")
		op.AppendChild(octets(dn))
		op.AppendChild(list)
		if _, err := conn.Write(envelope(id, op).Bytes()); err != nil {
			return false
		}
	}
	return true
}
