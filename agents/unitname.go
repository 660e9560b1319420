// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"errors"
	"strings"
)

// UnitName is the full name of a systemd unit: systemd.unit(5).
type UnitName string

func (v *UnitName) Set(s string) error {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@"
	if len(s) > 255 || strings.Trim(s, allowed) != "" {
		return errors.New("is no name of a unit")
	}
	if !strings.Contains(s, ".") {
		return errors.New("needs its suffix, such as " + s + ".service")
	}
	if strings.HasSuffix(s, "@.service") {
		return errors.New("is a template; name an instance of it")
	}
	*v = UnitName(s)
	return nil
}
func (v *UnitName) String() string { return string(*v) }
func (*UnitName) OCFType() string  { return "string" }
