// SPDX-License-Identifier: Apache-2.0

package internet

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// family is the kind of daemon that speaks a protocol. Each has a unit.
type family string

const (
	mail      family = "smtp" // SMTP and its submission
	mailboxes family = "imap" // IMAP and POP3
	directory family = "ldap" // LDAP
)

// tlsMode says how a session is encrypted.
type tlsMode string

const (
	none     tlsMode = "none"
	starttls tlsMode = "starttls"
	implicit tlsMode = "tls"
)

// protocol is one door: what is spoken where.
type protocol struct {
	name string
	port uint16
	tls  tlsMode
}

func (p protocol) String() string { return fmt.Sprintf("%s:%d/%s", p.name, p.port, p.tls) }

// kind is what is known of a protocol by its name: IANA's port numbers, and
// RFC 8314 for the implicit TLS of submission, IMAP and POP3.
type kind struct {
	name   string
	family family
	port   uint16
	tls    tlsMode
}

func kinds() []kind {
	return []kind{
		{"smtp", mail, 25, none},
		{"submission", mail, 587, starttls},
		{"submissions", mail, 465, implicit},
		{"imap", mailboxes, 143, none},
		{"imaps", mailboxes, 993, implicit},
		{"pop3", mailboxes, 110, none},
		{"pop3s", mailboxes, 995, implicit},
		{"ldap", directory, 389, none},
		{"ldaps", directory, 636, implicit},
	}
}

func kindOf(name string) (kind, bool) {
	all := kinds()
	i := slices.IndexFunc(all, func(k kind) bool { return k.name == name })
	if i < 0 {
		return kind{}, false
	}
	return all[i], true
}

func (p protocol) family() family {
	k, _ := kindOf(p.name)
	return k.family
}

// protocols is a list of them, as "smtp submission imap:1143/starttls ldaps".
type protocols []protocol

// Set reads the list. A name may come again with another port.
func (v *protocols) Set(s string) error {
	var list protocols
	for _, field := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' || r == '\n' }) {
		p, err := parseProtocol(field)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(list, func(q protocol) bool { return q.port == p.port }); i >= 0 {
			return fmt.Errorf("%s and %s are on the same port", list[i].name, p.name)
		}
		list = append(list, p)
	}
	*v = list
	return nil
}

func parseProtocol(field string) (protocol, error) {
	rest, tls, withTLS := strings.Cut(field, "/")
	name, port, withPort := strings.Cut(rest, ":")
	k, known := kindOf(name)
	if !known {
		return protocol{}, fmt.Errorf("%q is no protocol; known are %s", name, strings.Join(names(), ", "))
	}
	p := protocol{name: k.name, port: k.port, tls: k.tls}
	if withPort {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return protocol{}, fmt.Errorf("%q is no TCP port (1 to 65535)", port)
		}
		p.port = uint16(n)
	}
	if withTLS {
		p.tls = tlsMode(tls)
		if p.tls != none && p.tls != starttls && p.tls != implicit {
			return protocol{}, errors.New("after the slash must come none, starttls or tls")
		}
	}
	return p, nil
}

func names() []string {
	var all []string
	for _, k := range kinds() {
		all = append(all, k.name)
	}
	return all
}

// String is empty for none: that is the default.
func (v *protocols) String() string {
	texts := make([]string, len(*v))
	for i, p := range *v {
		texts[i] = p.short()
	}
	return strings.Join(texts, " ")
}

// short leaves out what goes without saying.
func (p protocol) short() string {
	k, _ := kindOf(p.name)
	s := p.name
	if p.port != k.port {
		s += ":" + strconv.Itoa(int(p.port))
	}
	if p.tls != k.tls {
		s += "/" + string(p.tls)
	}
	return s
}

// OCFType is that of a list.
func (*protocols) OCFType() string { return "string" }

// of lists those of one family.
func (v protocols) of(f family) protocols {
	return slices.DeleteFunc(slices.Clone(v), func(p protocol) bool { return p.family() != f })
}

func (v protocols) ports() []uint16 {
	var ports []uint16
	for _, p := range v {
		ports = append(ports, p.port)
	}
	return ports
}

// has says whether the protocol is in the list.
func (v protocols) has(q protocol) bool { return slices.Contains(v, q) }
