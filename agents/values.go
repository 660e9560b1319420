// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mailha/mailha/vip"
)

// Text is free text without control characters.
type Text string

func (v *Text) Set(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return errors.New("has a control character in it")
	}
	*v = Text(s)
	return nil
}
func (v *Text) String() string { return string(*v) }
func (*Text) OCFType() string  { return "string" }

// Path is an absolute, clean path. Services resolve relative ones against a
// directory of their own, so that they would name something else there.
type Path string

func (v *Path) Set(s string) error {
	if !filepath.IsAbs(s) {
		return errors.New("must be an absolute path")
	}
	*v = Path(filepath.Clean(s))
	return nil
}
func (v *Path) String() string { return string(*v) }
func (*Path) OCFType() string  { return "string" }

// Bool is an OCF boolean.
type Bool bool

func (v *Bool) Set(s string) error {
	switch strings.ToLower(s) {
	case "1", "true", "yes", "on":
		*v = true
	case "0", "false", "no", "off":
		*v = false
	default:
		return errors.New("must be true or false")
	}
	return nil
}
func (v *Bool) String() string { return strconv.FormatBool(bool(*v)) }
func (*Bool) OCFType() string  { return "boolean" }

// Duration is a span of time of at least zero and at most a day. A bare number
// counts seconds, as everywhere in a cluster's configuration.
type Duration time.Duration

func (v *Duration) Set(s string) error {
	text := s
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return errors.New(`must be a span of time such as "20s", "500ms" or "2m"`)
	}
	if d < 0 || d > 24*time.Hour {
		return errors.New("must be between 0 and 24h")
	}
	*v = Duration(d)
	return nil
}

func (v *Duration) String() string {
	s := time.Duration(*v).String()
	// "2m0s" is how Go writes what people write as "2m".
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
func (*Duration) OCFType() string { return "string" }

// Number is a whole number from zero to a thousand millions.
type Number int

func (v *Number) Set(s string) error {
	const most = 1_000_000_000
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n > most {
		return fmt.Errorf("must be a whole number from 0 to %d", most)
	}
	*v = Number(n)
	return nil
}
func (v *Number) String() string { return strconv.Itoa(int(*v)) }
func (*Number) OCFType() string  { return "integer" }

// Ports is a list of TCP ports, by number.
type Ports []uint16

func (v *Ports) Set(s string) error {
	var ports Ports
	for _, field := range fields(s) {
		n, err := strconv.ParseUint(field, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("%q is no TCP port (1 to 65535)", field)
		}
		if !slices.Contains(ports, uint16(n)) {
			ports = append(ports, uint16(n))
		}
	}
	*v = ports
	return nil
}

func (v *Ports) String() string {
	texts := make([]string, len(*v))
	for i, p := range *v {
		texts[i] = strconv.Itoa(int(p))
	}
	return strings.Join(texts, " ")
}
func (*Ports) OCFType() string { return "string" }

// GateMode is what new connections meet while a service drains: refuse or hold.
type GateMode string

// Set takes one of the two.
func (v *GateMode) Set(s string) error {
	if s != "refuse" && s != "hold" {
		return errors.New("must be refuse or hold")
	}
	*v = GateMode(s)
	return nil
}
func (v *GateMode) String() string { return string(*v) }
func (*GateMode) OCFType() string  { return "string" }

func (v GateMode) mode() vip.Mode {
	if v == "hold" {
		return vip.Hold
	}
	return vip.Refuse
}

// fields splits a list at white space and commas.
func fields(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' })
}
