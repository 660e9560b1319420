// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"encoding/binary"
	"strings"
	"unicode"
	"unicode/utf8"
)

// datagram is one line of the journal as it is sent.
type datagram struct{ bytes []byte }

// longestValue keeps a line within what a socket takes at once, in bytes.
const longestValue = 16 << 10

// add adds a field. A value of several lines is preceded by its length.
func (d *datagram) add(name, value string) {
	value = clip(value)
	d.bytes = append(d.bytes, name...)
	if strings.Contains(value, "\n") {
		d.bytes = append(d.bytes, '\n')
		d.bytes = binary.LittleEndian.AppendUint64(d.bytes, uint64(len(value)))
	} else {
		d.bytes = append(d.bytes, '=')
	}
	d.bytes = append(d.bytes, value...)
	d.bytes = append(d.bytes, '\n')
}

// clip shortens a value, and makes it a text.
func clip(value string) string {
	if len(value) > longestValue {
		value = value[:longestValue]
	}
	return strings.ToValidUTF8(value, string(utf8.RuneError))
}

// fieldName is the journal's name for an attribute: capitals, digits and
// underscores, 64 of them at most.
func fieldName(key string) string {
	const longest = 64
	name := "MAILHA_" + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, key)
	return name[:min(len(name), longest)]
}

// printable leaves nothing in a text that keeps journalctl from showing it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}
