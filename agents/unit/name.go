// SPDX-License-Identifier: Apache-2.0

package unit

import (
	"fmt"
	"strings"

	"github.com/godbus/dbus/v5"
)

// The kinds of units, systemd.unit(5).
const kinds = " service socket device mount automount swap target path timer slice scope "

// fullName completes a name without a kind to that of a service, as systemctl does. A
// name that no unit can have is ErrNotFound.
func fullName(name string) (string, error) {
	full := name
	if !strings.Contains(kinds, " "+kind(name)+" ") {
		full += ".service"
	}
	prefix := full[:strings.LastIndexByte(full, '.')]
	template, instance, isInstance := strings.Cut(prefix, "@")
	if template == "" || isInstance && instance == "" || len(full) > 255 || strings.ContainsFunc(full, isForeign) {
		return name, fmt.Errorf("%w: %q can't be the name of a unit", ErrNotFound, name)
	}
	return full, nil
}

// isForeign tells what a name can't have in it.
func isForeign(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(`:-_.\@`, r))
}

// kind returns what follows the last dot.
func kind(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// kindInterface is the D-Bus interface that has the properties of the unit's kind.
func kindInterface(name string) string {
	k := kind(name)
	return "org.freedesktop.systemd1." + strings.ToUpper(k[:1]) + k[1:]
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
