// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// URL says where a server is and how it is spoken to: RFC 4516, and ldapi as
// OpenLDAP has it.
type URL struct {
	Scheme string // ldap, ldaps or ldapi
	Host   string // name or IP address; empty: every address of the host
	Port   uint16 // 0 for ldapi
	Path   string // of an ldapi socket
}

// DefaultSocket is what ldapi:/// means on Debian: slapd(8).
const DefaultSocket = "/run/slapd/ldapi"

const (
	port  = 389
	ports = 636 // of ldaps
)

// ParseURL reads a URL, or a bare host name or address, which means ldap.
func ParseURL(s string) (URL, error) {
	scheme, rest, found := strings.Cut(s, "://")
	if !found {
		scheme, rest = "ldap", bracketed(s)
	}
	u := URL{Scheme: strings.ToLower(scheme)}
	rest, _, _ = strings.Cut(rest, "/")
	if u.Scheme == "ldapi" {
		path, err := url.PathUnescape(rest)
		if err != nil || path != "" && path[0] != '/' {
			return URL{}, fmt.Errorf("%q names no socket by its absolute path, with %%2F for each slash", s)
		}
		if u.Path = path; path == "" {
			u.Path = DefaultSocket
		}
		return u, nil
	}
	switch u.Scheme {
	case "ldap":
		u.Port = port
	case "ldaps":
		u.Port = ports
	default:
		return URL{}, fmt.Errorf("%q is no URL of a directory (ldap, ldaps or ldapi)", s)
	}
	if err := u.setHost(rest); err != nil {
		return URL{}, fmt.Errorf("%q: %w", s, err)
	}
	return u, nil
}

// bracketed makes a bare IPv6 address one that a URL can have.
func bracketed(s string) string {
	if a, err := netip.ParseAddr(s); err == nil && a.Is6() {
		return "[" + s + "]"
	}
	return s
}

func (u *URL) setHost(s string) error {
	host, portText := s, ""
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		host, portText = s[:i], s[i+1:]
	}
	if portText != "" {
		n, err := strconv.ParseUint(portText, 10, 16)
		if err != nil || n == 0 {
			return errors.New("no such TCP port")
		}
		u.Port = uint16(n)
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host, ok = strings.CutSuffix(inner, "]")
		if a, err := netip.ParseAddr(host); !ok || err != nil || !a.Is6() {
			return errors.New("no IPv6 address in the brackets")
		}
	} else if strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") != "" {
		return errors.New("no name or address of a host")
	}
	u.Host = host
	return nil
}

// String is the URL as OpenLDAP writes it. The port is left out if it is the
// usual one.
func (u URL) String() string {
	switch {
	case u.Scheme == "ldapi":
		return "ldapi://" + strings.ReplaceAll(url.PathEscape(u.Path), "/", "%2F")
	case u.Scheme == "ldap" && u.Port == port, u.Scheme == "ldaps" && u.Port == ports:
		return u.Scheme + "://" + bracketed(u.Host)
	}
	return u.Scheme + "://" + net.JoinHostPort(u.Host, strconv.Itoa(int(u.Port)))
}

// endpoint is what net.Dial wants.
func (u URL) endpoint() (network, address string) {
	if u.Scheme == "ldapi" {
		return "unix", u.Path
	}
	return "tcp", net.JoinHostPort(u.Host, strconv.Itoa(int(u.Port)))
}
