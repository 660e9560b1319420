// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"errors"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// errNoPassword: a bind with a name and without a password succeeds as nobody
// (RFC 4513 section 5.1.2), which is never what was meant.
var errNoPassword = errors.New("there is no password")

const version = 3

// BindSimple binds by a name and a password: RFC 4511 section 4.2.
func (c *Conn) BindSimple(dn, password string) error {
	if dn != "" && password == "" {
		return c.failed("bind", errNoPassword)
	}
	return c.bind(dn, contextString(0, password))
}

// BindExternal binds as whoever the transport says that we are: over ldapi that
// is the user of this process, over TLS the certificate's subject. RFC 4422
// appendix A.
func (c *Conn) BindExternal() error {
	sasl := ber.Encode(ber.ClassContext, ber.TypeConstructed, 3, nil, "")
	sasl.AppendChild(octetString("EXTERNAL"))
	sasl.AppendChild(octetString("")) // without it the server asks for it
	return c.bind("", sasl)
}

func (c *Conn) bind(dn string, auth *ber.Packet) error {
	op := application(bindRequest, "")
	op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, int64(version), ""))
	op.AppendChild(octetString(dn))
	op.AppendChild(auth)
	return c.do("bind", op, bindResponse)
}
