// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"fmt"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// noticeOID names the Notice of Disconnection: RFC 4511 section 4.4.1.
const noticeOID = "1.3.6.1.4.1.1466.20036"

// Notice is the last message of a session that the server ends, as it goes over
// the wire. The text is for people.
func Notice(code Code, text string) []byte {
	op := application(extendedResponse, "")
	op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, int64(code), ""))
	op.AppendChild(octetString(""))
	op.AppendChild(octetString(text))
	op.AppendChild(contextString(10, noticeOID))
	m := ber.NewSequence("")
	m.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, int64(0), ""))
	m.AppendChild(op)
	return m.Bytes()
}

// disconnection is the error that an unasked message of the server stands for.
func disconnection(m message) error {
	if m.op != extendedResponse {
		return fmt.Errorf("%w: it was not asked for", errMessage)
	}
	r, err := parseResult(m.body)
	if err != nil {
		return err
	}
	if err := r.err(); err != nil {
		return fmt.Errorf("%w: %w", ErrDisconnected, err)
	}
	return ErrDisconnected
}
