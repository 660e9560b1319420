// SPDX-License-Identifier: Apache-2.0

package unit

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
)

func TestSocketPath(t *testing.T) {
	for address, want := range map[string]string{
		"unix:path=/run/dbus/system_bus_socket": "/run/dbus/system_bus_socket",
		"unix:guid=00,path=/a%20b":              "/a b",
		"unix:abstract=/tmp/x,guid=1":           "@/tmp/x",
		"unix:path=a=b":                         "a=b",
	} {
		if got, err := socketPath(address); got != want || err != nil {
			t.Errorf("socketPath(%q) = %q, %v; want %q", address, got, err, want)
		}
	}
	for _, address := range []string{"", ":", "unix", "unix:", "unix:path=", "unix:path=,abstract=x", "unix:path=%", "unix:path=%zz", "unix:tmpdir=/tmp", "tcp:host=h,port=1", "/run/dbus/system_bus_socket"} {
		if got, err := socketPath(address); err == nil || !strings.Contains(err.Error(), "bus address") {
			t.Errorf("socketPath(%q) = %q, %v; want an error that names the address", address, got, err)
		}
	}
}

func TestDialerTriesAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	good := "tcp:host=h;unix:path=/nowhere;unix:path=" + path
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", good)
	for _, addresses := range []string{good, ""} {
		c, err := dialer(addresses)(t.Context())
		if err != nil {
			t.Fatalf("dial %q: %v", addresses, err)
		}
		c.Close()
	}
	_, err = dialer("tcp:host=h;unix:path=/nowhere")(t.Context())
	if err == nil || !strings.Contains(err.Error(), "tcp:host=h") || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("got %v, want an error that names both addresses", err)
	}
}

func FuzzSocketPath(f *testing.F) {
	for _, s := range []string{"unix:path=/x", "unix:abstract=y,guid=1", "unix:path=%41", "tcp:", ";", "unix:path=%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, address string) {
		if path, err := socketPath(address); (path == "") != (err != nil) {
			t.Errorf("socketPath(%q) = %q, %v", address, path, err)
		}
	})
}
