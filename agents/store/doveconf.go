// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mailha/mailha/agents"
)

// settings are what doveconf(1) prints with -S: a line for each, with the names of
// sections parted by slashes.
type settings map[string]string

// doveconf asks for some settings.
func (d *Dovecot) doveconf(ctx context.Context, names ...string) (settings, error) {
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, d.tool("doveconf"), append([]string{"-c", d.config(), "-S"}, names...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: no Dovecot here: %w", agents.ErrInstalled, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w: %s", agents.ErrNode, cmd, err, lastLine(stderr.String()))
	}
	return parseSettings(stdout.String()), nil
}

// tool is where one of Dovecot's commands is: beside the dovecot program, or in the
// directory for what everybody may run.
func (d *Dovecot) tool(name string) string {
	dir := filepath.Dir(string(d.binary))
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	return filepath.Join(filepath.Dir(dir), "bin", name)
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

func parseSettings(text string) settings {
	s := settings{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok {
			s[key] = value
		}
	}
	return s
}

// doors lists where the services of the enabled protocols listen. Services without
// a protocol, such as those for administrators and for figures, are not for
// clients.
func (s settings) doors() ([]agents.Door, error) {
	enabled := strings.Fields(s["protocols"])
	var doors []agents.Door
	for _, name := range strings.Fields(s["service"]) {
		section := "service/" + name + "/"
		protocol := s[section+"protocol"]
		if !slices.Contains(enabled, protocol) {
			continue
		}
		for _, listener := range strings.Fields(s[section+"inet_listener"]) {
			door, err := s.inetDoor(section + "inet_listener/" + listener + "/")
			if err != nil {
				return nil, err
			}
			// An MTA on the same node hands mail in, too.
			if door.Protocol, door.Inward = protocol, protocol == lmtp; door.Port > 0 {
				doors = append(doors, door)
			}
		}
		if protocol != lmtp {
			continue // login processes have unix sockets for each other alone
		}
		for _, listener := range strings.Fields(s[section+"unix_listener"]) {
			if door, ok := s.unixDoor(section + "unix_listener/" + listener + "/"); ok {
				door.Protocol, door.Inward = protocol, true
				doors = append(doors, door)
			}
		}
	}
	return doors, nil
}

// The protocols that something is known about; [probe.Greet] knows more.
const (
	imap = "imap"
	pop3 = "pop3"
	lmtp = "lmtp"
)

// inetDoor reads a listener. One with port 0 is turned off.
func (s settings) inetDoor(section string) (agents.Door, error) {
	port, err := strconv.ParseUint(s[section+"port"], 10, 16)
	if err != nil {
		return agents.Door{}, fmt.Errorf("%sport=%s is no TCP port", section, s[section+"port"])
	}
	d := agents.Door{Port: uint16(port), Mute: s[section+"haproxy"] == "yes"}
	listen := s[section+"address"]
	if listen == "" {
		listen = s["listen"]
	}
	d.Addrs = listenAddrs(listen)
	switch {
	case s[section+"ssl"] == "yes" && s["ssl"] == "no":
		d.Port = 0 // Dovecot leaves it out
	case s[section+"ssl"] == "yes":
		d.TLS = "tls"
	case s["ssl"] == "yes" || s["ssl"] == "required":
		d.TLS = "starttls"
	}
	return d, nil
}

// unixDoor reads a listener. One with mode 0 is turned off.
func (s settings) unixDoor(section string) (agents.Door, bool) {
	path := s[section+"path"]
	if !filepath.IsAbs(path) {
		path = filepath.Join(s["base_dir"], path)
	}
	return agents.Door{Path: path}, strings.Trim(s[section+"mode"], "0") != ""
}

// listenAddrs are the only addresses that a listener is on; none: all, or some that
// only have names.
func listenAddrs(listen string) []netip.Addr {
	var addrs []netip.Addr
	for _, field := range strings.FieldsFunc(listen, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
		addr, err := netip.ParseAddr(strings.Trim(field, "[]"))
		if err != nil || addr.IsUnspecified() {
			return nil
		}
		addrs = append(addrs, addr)
	}
	return addrs
}
