// SPDX-License-Identifier: Apache-2.0

package unit

import (
	"strings"

	"github.com/coreos/go-systemd/v22/unit"
)

// ControlGroup is where systemd runs a service by default: in system.slice, and
// there in a slice of their own for the instances of a template. systemd.slice(5),
// systemd.unit(5) DefaultSlice.
func ControlGroup(name string) string {
	template, _, instance := strings.Cut(name, "@")
	if !instance {
		return "/system.slice/" + name
	}
	return "/system.slice/system-" + unit.UnitNameEscape(template) + ".slice/" + name
}
