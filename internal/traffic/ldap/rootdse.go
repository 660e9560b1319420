// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"bufio"
	"io"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// RootDSE asks for the root DSE (RFC 4512 section 5.1), which everybody may read: as near as LDAP comes to a greeting.
// Without an error, a refusal is the server's no.
func RootDSE(conn io.ReadWriter) (refusal string, err error) {
	const noAttributes = "1.1" // RFC 4511 section 4.5.1.8
	request := sequence(number(ber.TagInteger, 1), searchRequest("", ScopeBase, noAttributes))
	if _, err := conn.Write(request.Bytes()); err != nil {
		return "", err
	}
	br := bufio.NewReader(conn)
	for {
		p, err := ber.ReadPacket(br)
		if err != nil {
			return "", err
		}
		m, err := parse(p)
		switch {
		case err != nil:
			return "", err
		case m.ID != 1:
			return "", unsolicited(m)
		case m.Op == opSearchDone && m.Code != codeSuccess:
			return m.String(), nil
		case m.Op == opSearchDone:
			return "", nil
		}
	}
}

// Unbind is the request that ends a session.
func Unbind() []byte {
	return sequence(number(ber.TagInteger, 2), ber.Encode(ber.ClassApplication, ber.TypePrimitive, opUnbind, nil, "")).Bytes()
}
