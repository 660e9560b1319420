// SPDX-License-Identifier: Apache-2.0

package unit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/godbus/dbus/v5"
)

const (
	systemBus = "unix:path=/run/dbus/system_bus_socket"
	// privateSocket is systemd's own, for root alone; systemctl uses it, too. It works
	// where no bus does: systemd(1), "Sockets and FIFOs".
	privateSocket = "/run/systemd/private"
)

// dialFunc opens a connection on which nothing has been said yet.
type dialFunc func(ctx context.Context) (net.Conn, error)

// dialer returns a function that tries the addresses in turn. They are parsed when
// it is called, so that a bad address is an error of the call and not a panic before.
func dialer(addresses string) dialFunc {
	addresses = cmp.Or(addresses, os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"), systemBus)
	return func(ctx context.Context) (net.Conn, error) {
		var errs []error
		for address := range strings.SplitSeq(addresses, ";") {
			path, err := socketPath(address)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			c, err := new(net.Dialer).DialContext(ctx, "unix", path)
			if err == nil {
				return c, nil
			}
			errs = append(errs, err)
		}
		return nil, errors.Join(errs...)
	}
}

// socketPath returns the socket of one D-Bus address (D-Bus Specification, "Server
// Addresses"); a leading @ marks an abstract one. A bus is local, so only unix: will do.
func socketPath(address string) (string, error) {
	transport, keys, _ := strings.Cut(address, ":")
	if transport != "unix" {
		return "", fmt.Errorf("bus address %q: want unix:path=PATH or unix:abstract=NAME", address)
	}
	for key := range strings.SplitSeq(keys, ",") {
		name, value, _ := strings.Cut(key, "=")
		if name != "path" && name != "abstract" {
			continue
		}
		path, err := dbus.UnescapeBusAddressValue(value)
		if err != nil {
			return "", fmt.Errorf("bus address %q: %w", address, err)
		}
		if path == "" {
			break
		}
		if name == "abstract" {
			path = "@" + path
		}
		return path, nil
	}
	return "", fmt.Errorf("bus address %q: no path= or abstract=", address)
}
