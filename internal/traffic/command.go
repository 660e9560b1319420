// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"net/netip"
	"strconv"
	"strings"
)

// command is an SMTP command that was found well-formed.
type command struct {
	verb    string // upper case
	mailbox string // of MAIL (empty: the null sender) and RCPT
	params  bool   // MAIL came with ESMTP parameters
	size    int64  // declared by MAIL SIZE=, else 0
}

// refusal is a negative reply: code, enhanced status code and text.
type refusal string

func (r refusal) Error() string { return string(r) }

const (
	badSyntax    = refusal("500 5.5.2 Command not understood")
	badArgument  = refusal("501 5.5.4 Syntax error in the argument")
	badPath      = refusal("501 5.1.7 Malformed address")
	badParameter = refusal("555 5.5.4 Parameter not understood")
	badSequence  = refusal("503 5.5.1 Bad sequence of commands")
)

// parseCommand reads one command line without its CRLF, in the grammar of RFC 5321 section 4.1.1 with the parameters
// SIZE (RFC 1870) and BODY (RFC 6152). Source routes, obsolete since 1989, are refused. Its errors are refusals.
func parseCommand(line string) (command, error) {
	for i := range len(line) {
		if line[i] < ' ' || line[i] > '~' {
			return command{}, badSyntax
		}
	}
	// Trailing spaces are to be tolerated: section 4.1.1.
	verb, arg, hasArg := strings.Cut(strings.TrimRight(line, " "), " ")
	c := command{verb: strings.ToUpper(verb)}
	switch c.verb {
	case "EHLO", "HELO":
		if !validDomain(arg) {
			return command{}, badArgument
		}
	case "MAIL":
		return c.parseMail(arg)
	case "RCPT":
		return c.parseRcpt(arg)
	case "DATA", "RSET", "QUIT":
		if hasArg {
			return command{}, badArgument
		}
	case "NOOP":
	case "VRFY":
		if !hasArg {
			return command{}, badArgument
		}
	default:
		return command{}, badSyntax
	}
	return c, nil
}

func (c command) parseMail(arg string) (command, error) {
	mailbox, rest, ok := parsePath(arg, "FROM:")
	if !ok || strings.EqualFold(mailbox, "postmaster") {
		return command{}, badPath
	}
	c.mailbox, c.params = mailbox, rest != ""
	seen := make(map[string]bool)
	for param := range strings.SplitSeq(rest, " ") {
		if rest == "" {
			break
		}
		key, value, _ := strings.Cut(param, "=")
		key = strings.ToUpper(key)
		if seen[key] {
			return command{}, badArgument
		}
		seen[key] = true
		switch key {
		case "SIZE":
			size, err := strconv.ParseUint(value, 10, 63)
			if err != nil || len(value) > 20 {
				return command{}, badArgument
			}
			c.size = int64(size)
		case "BODY":
			if !strings.EqualFold(value, "7BIT") && !strings.EqualFold(value, "8BITMIME") {
				return command{}, badArgument
			}
		default:
			return command{}, badParameter
		}
	}
	return c, nil
}

func (c command) parseRcpt(arg string) (command, error) {
	mailbox, rest, ok := parsePath(arg, "TO:")
	if !ok || mailbox == "" {
		return command{}, badPath
	}
	if rest != "" {
		return command{}, badParameter
	}
	c.mailbox = mailbox
	return c, nil
}

// parsePath reads KEYWORD<path>[ parameters]; the path may be empty or "postmaster", which the caller allows or not.
func parsePath(arg, keyword string) (mailbox, rest string, ok bool) {
	if len(arg) < len(keyword) || !strings.EqualFold(arg[:len(keyword)], keyword) {
		return "", "", false
	}
	path, ok := strings.CutPrefix(arg[len(keyword):], "<")
	if !ok {
		return "", "", false
	}
	local := localPartLen(path)
	if local < 0 || local > 64 {
		return "", "", false
	}
	end := strings.IndexByte(path[local:], '>') + local
	if end < local {
		return "", "", false
	}
	mailbox, rest = path[:end], path[end+1:]
	domain, hasDomain := strings.CutPrefix(mailbox[local:], "@")
	switch {
	case hasDomain && (local == 0 || !validDomain(domain)),
		!hasDomain && mailbox != "" && !strings.EqualFold(mailbox, "postmaster"),
		len(mailbox) > 254:
		return "", "", false
	}
	if rest == "" {
		return mailbox, "", true
	}
	rest, ok = strings.CutPrefix(rest, " ")
	return mailbox, rest, ok && rest != ""
}

// localPartLen measures the Dot-string or Quoted-string that s begins with: 0 when there is none, -1 for a broken one.
func localPartLen(s string) int {
	if strings.HasPrefix(s, `"`) {
		for i := 1; i < len(s); i++ {
			switch s[i] {
			case '\\':
				i++
			case '"':
				return i + 1
			}
		}
		return -1
	}
	n := 0
	for n < len(s) && isAtext(s[n]) {
		n++
	}
	if local := s[:n]; n > 0 && (local[0] == '.' || local[n-1] == '.' || strings.Contains(local, "..")) {
		return -1
	}
	return n
}

func isAtext(b byte) bool {
	return isAlnum(b) || strings.IndexByte(".!#$%&'*+-/=?^_`{|}~", b) >= 0
}

func isAlnum(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}

// validDomain accepts a domain name, of one label too, or an address literal (RFC 5321 section 4.1.3).
func validDomain(s string) bool {
	if literal, ok := strings.CutPrefix(s, "["); ok {
		literal, ok = strings.CutSuffix(literal, "]")
		v6, is6 := strings.CutPrefix(literal, "IPv6:")
		addr, err := netip.ParseAddr(v6)
		return ok && err == nil && addr.Zone() == "" && addr.Is6() == is6
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if !isAlnum(label[i]) && label[i] != '-' {
				return false
			}
		}
	}
	return len(s) <= 255
}
