// SPDX-License-Identifier: Apache-2.0

package bench

import "strings"

// A page is made of parts, each of which can be measured by itself: those that
// were not keep what they were before.

func opening(part string) string { return "<!-- part: " + part + " -->\n" }
func closing(part string) string { return "<!-- end: " + part + " -->\n" }

// Compose makes a page of its head and its parts, in this order. A part without
// a new text keeps the one that the old page has of it; one that has neither is
// left out.
func Compose(head, old string, parts []string, texts map[string]string) string {
	var b strings.Builder
	b.WriteString(head)
	for _, part := range parts {
		text, ok := texts[part]
		if !ok {
			text, ok = section(old, part)
		}
		if ok {
			b.WriteString("\n" + opening(part) + text + closing(part))
		}
	}
	return b.String()
}

// section is what a page has of a part.
func section(page, part string) (string, bool) {
	_, rest, ok := strings.Cut(page, opening(part))
	if !ok {
		return "", false
	}
	text, _, ok := strings.Cut(rest, closing(part))
	return text, ok
}
