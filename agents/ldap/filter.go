// SPDX-License-Identifier: Apache-2.0

package ldap

import ber "github.com/go-asn1-ber/asn1-ber"

// Filter chooses entries: RFC 4511 section 4.5.1.7. The zero Filter chooses all.
type Filter struct {
	tag         ber.Tag
	name, value string
	parts       []Filter
}

// Tags of filters.
const (
	filterAnd     = 0
	filterEqual   = 3
	filterAtLeast = 5
	filterPresent = 7
)

// Present chooses entries that have the attribute.
func Present(name string) Filter { return Filter{tag: filterPresent, name: name} }

// Equal chooses entries with that value of the attribute.
func Equal(name, value string) Filter { return Filter{tag: filterEqual, name: name, value: value} }

// AtLeast chooses entries with that value of the attribute, or a greater one.
func AtLeast(name, value string) Filter {
	return Filter{tag: filterAtLeast, name: name, value: value}
}

// And chooses entries that all of the filters choose.
func And(parts ...Filter) Filter { return Filter{tag: filterAnd, parts: parts} }

func (f Filter) packet() *ber.Packet {
	if f.name == "" && len(f.parts) == 0 {
		f = Present("objectClass")
	}
	if f.tag == filterPresent {
		return contextString(filterPresent, f.name)
	}
	p := ber.Encode(ber.ClassContext, ber.TypeConstructed, f.tag, nil, "")
	for _, part := range f.parts {
		p.AppendChild(part.packet())
	}
	if f.name != "" {
		p.AppendChild(octetString(f.name))
		p.AppendChild(octetString(f.value))
	}
	return p
}
