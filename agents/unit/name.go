// SPDX-License-Identifier: Apache-2.0

package unit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/godbus/dbus/v5"
)

// fullName completes a name without a kind to that of a service, as systemctl does. A
// name that no unit can have is ErrNotFound.
func fullName(name string) (string, error) {
	prefix, _ := splitKind(name)
	full := name
	if prefix == name {
		full += ".service"
	}
	template, instance, isInstance := strings.Cut(prefix, "@")
	if template == "" || isInstance && instance == "" || len(full) > 255 || strings.ContainsFunc(full, isForeign) {
		return name, fmt.Errorf("%w: %q can't be the name of a unit", ErrNotFound, name)
	}
	return full, nil
}

// splitKind cuts a name before the dot of its kind, systemd.unit(5); without one, all of
// it is prefix.
func splitKind(name string) (prefix, kind string) {
	i := strings.LastIndexByte(name, '.')
	kinds := []string{"service", "socket", "device", "mount", "automount", "swap", "target", "path", "timer",
		"slice", "scope"}
	if i < 0 || !slices.Contains(kinds, name[i+1:]) {
		return name, ""
	}
	return name[:i], name[i+1:]
}

// isForeign tells what a name can't have in it.
func isForeign(r rune) bool {
	letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	return !letter && !('0' <= r && r <= '9') && !strings.ContainsRune(`:-_.\@`, r)
}

// kindInterface is the D-Bus interface that has the properties of the unit's kind. It
// takes a full name.
func kindInterface(full string) string {
	_, kind := splitKind(full)
	return systemdName + "." + strings.ToUpper(kind[:1]) + kind[1:]
}

// unitPath returns the object of a unit: its name with all bytes but ASCII letters
// and digits as _xx, a leading digit too (sd_bus_path_encode(3)).
func unitPath(name string) dbus.ObjectPath {
	var b strings.Builder
	b.WriteString("/org/freedesktop/systemd1/unit/")
	for i, c := range []byte(name) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return dbus.ObjectPath(b.String())
}
