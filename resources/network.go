// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"net/netip"
	"net/url"
)

// listen reads an address with a port.
func (s *section) listen(name string) netip.AddrPort {
	k := s.of(name, formText, `"192.0.2.11:9443"`)
	if k == nil {
		return netip.AddrPort{}
	}
	a, err := netip.ParseAddrPort(k.text)
	if err != nil || a.Port() == 0 {
		s.problem(k.value.at, `such as "192.0.2.11:9443", "0.0.0.0:9443" or "[::]:9443"`, "%s = %q is no IP address with a port", name, k.text)
		return netip.AddrPort{}
	}
	return a
}

// endpoint reads the URL of an etcd.
func (s *section) endpoint(i item) string {
	u, err := url.Parse(i.text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil {
		s.problem(i.at, `such as "https://192.0.2.21:2379"`, "endpoint %q is no URL of an etcd", i.text)
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// peer reads an address of a node.
func (s *section) peer(i item) (netip.Addr, bool) {
	a, err := netip.ParseAddr(i.text)
	switch {
	case err != nil:
		s.problem(i.at, "names would need a resolver, which may be what has failed", "address %q is no IP address", i.text)
	case a.Zone() != "", a.Is4In6(), a.IsLinkLocalUnicast():
		s.problem(i.at, "", "address %q is good on one link only", i.text)
	case a.IsUnspecified(), a.IsMulticast():
		s.problem(i.at, "", "address %q is not the address of a machine", i.text)
	default:
		return a, true
	}
	return a, false
}

// placeOf is where the first of the keys is that the table has, or the table
// itself.
func (s *section) placeOf(keys ...string) place {
	for _, name := range keys {
		if k := s.get(name); k != nil {
			return k.value.at
		}
	}
	return s.at
}

// together reports keys that are there without the others.
func (s *section) together(keys ...string) {
	for _, name := range keys {
		if s.get(name) == nil {
			continue
		}
		for _, other := range keys {
			s.required(other, name+" needs it")
		}
		return
	}
}
