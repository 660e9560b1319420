// SPDX-License-Identifier: Apache-2.0

package farewell

import "unicode/utf8"

// SMTP is what an SMTP server says before it hangs up, whatever the client was
// about to say: RFC 5321 section 3.8. The status code, of RFC 3463 section 3.4,
// has clients try again.
func SMTP(hostname string) []byte {
	return []byte("421 4.3.2 " + hostname + " Service closing, try again\r\n")
}

// IMAP is the untagged BYE that a server may send at any time before it hangs up:
// RFC 9051 section 7.1.5.
func IMAP(text string) []byte { return []byte("* BYE " + text + "\r\n") }

// LDAP is the notice of disconnection, which an LDAP server sends unasked before
// it hangs up: RFC 4511 section 4.4.1. The result code is unavailable (52), and
// the text, in UTF-8, is for people. A text of more than 60 bytes is cut.
func LDAP(text string) []byte {
	const (
		sequence, integer, enumerated, octets = 0x30, 0x02, 0x0a, 0x04

		extendedResponse = 0x60 | 24 // [APPLICATION 24], constructed
		responseName     = 0x80 | 10 // [10], primitive

		unavailable  = 52
		noticeOfDisc = "1.3.6.1.4.1.1466.20036"

		mostText = 60 // so that every length is one byte: X.690 section 8.1.3.4
	)
	value := func(tag byte, content ...byte) []byte {
		return append([]byte{tag, byte(len(content))}, content...)
	}
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	text = text[:min(len(text), mostText)]
	for len(text) > 0 && !utf8.ValidString(text) { // the cut went through a character
		text = text[:len(text)-1]
	}
	result := join(
		value(enumerated, unavailable),
		value(octets), // matchedDN
		value(octets, []byte(text)...),
		value(responseName, []byte(noticeOfDisc)...),
	)
	const unsolicited = 0 // message ID
	return value(sequence, join(value(integer, unsolicited), value(extendedResponse, result...))...)
}
