// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"fmt"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// Add adds an entry: RFC 4511 section 4.7.
func (c *Conn) Add(e Entry) error {
	op := application(addRequest, "")
	op.AppendChild(octetString(e.DN))
	list := ber.NewSequence("")
	for _, a := range e.Attributes {
		list.AppendChild(a.packet())
	}
	op.AppendChild(list)
	return c.do(fmt.Sprintf("add %q", e.DN), op, addResponse)
}

// Replace gives an attribute other values: RFC 4511 section 4.6. Without values
// the attribute goes.
func (c *Conn) Replace(dn string, a Attribute) error {
	const replace = 2
	change := ber.NewSequence("")
	change.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, int64(replace), ""))
	change.AppendChild(a.packet())
	changes := ber.NewSequence("")
	changes.AppendChild(change)
	op := application(modifyRequest, "")
	op.AppendChild(octetString(dn))
	op.AppendChild(changes)
	return c.do(fmt.Sprintf("modify %q", dn), op, modifyResponse)
}

// Delete removes an entry that has none below it: RFC 4511 section 4.8.
func (c *Conn) Delete(dn string) error {
	op := ber.NewString(ber.ClassApplication, ber.TypePrimitive, delRequest, dn, "")
	return c.do(fmt.Sprintf("delete %q", dn), op, delResponse)
}

func (a Attribute) packet() *ber.Packet {
	p := ber.NewSequence("")
	p.AppendChild(octetString(a.Name))
	values := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
	for _, v := range a.Values {
		values.AppendChild(octetString(v))
	}
	p.AppendChild(values)
	return p
}
