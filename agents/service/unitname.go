// SPDX-License-Identifier: Apache-2.0

package service

import (
	"errors"
	"strings"
)

// unitName is the full name of a systemd unit: systemd.unit(5).
type unitName string

func (v *unitName) Set(s string) error {
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
	*v = unitName(s)
	return nil
}
func (v *unitName) String() string { return string(*v) }
func (*unitName) OCFType() string  { return "string" }
