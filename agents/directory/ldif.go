// SPDX-License-Identifier: Apache-2.0

package directory

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/mailha/mailha/agents/ldap"
)

// parseLDIF reads one entry as slapd keeps its configuration: LDIF (RFC 2849)
// with comments before it.
func parseLDIF(text string) (ldap.Entry, error) {
	var e ldap.Entry
	for line := range strings.Lines(strings.ReplaceAll(text, "\n ", "")) { // long lines are folded
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, err := parseLine(line)
		if err != nil {
			return ldap.Entry{}, err
		}
		if strings.EqualFold(name, "dn") {
			e.DN = value
			continue
		}
		add(&e, name, value)
	}
	if e.DN == "" {
		return ldap.Entry{}, errors.New("no entry with a name is in it")
	}
	return e, nil
}

func parseLine(line string) (name, value string, err error) {
	name, value, ok := strings.Cut(line, ":")
	if !ok || name == "" {
		return "", "", fmt.Errorf("a line begins with %q and has no name of an attribute", line[:min(len(line), 10)]) // its rest may be a secret
	}
	coded, isCoded := strings.CutPrefix(value, ":")
	if !isCoded {
		return name, strings.TrimLeft(value, " "), nil
	}
	data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(coded))
	if err != nil {
		return "", "", fmt.Errorf("value of %s: %w", name, err)
	}
	return name, string(data), nil
}

func add(e *ldap.Entry, name, value string) {
	for i := range e.Attributes {
		if a := &e.Attributes[i]; strings.EqualFold(a.Name, name) {
			a.Values = append(a.Values, value)
			return
		}
	}
	e.Attributes = append(e.Attributes, ldap.Attribute{Name: name, Values: []string{value}})
}
