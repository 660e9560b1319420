// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"time"

	"github.com/mailha/mailha/internal/traffic"
)

// Part is one of the four services of the mail system, or all of it.
type Part struct {
	Name     string // in reports: the agent's
	Resource string // in the cluster
	moved    string // what moves with it: its group or clone
	promoted bool   // it is where it is promoted
	unit     string // its main one
	address  string
	door     string // what it is asked for a greeting: "imap", "ldap"; empty: SMTP
	port     string
}

// Parts are all of the services, those that others ask first.
func Parts() []Part { return apart().parts() }

func (l layout) parts() []Part {
	return []Part{
		{Name: "directory", Resource: "c_directory", moved: "c_directory", promoted: true, unit: DirectoryUnit, address: l.directory, door: "ldap", port: ldapPort},
		{Name: "store", Resource: "p_store", moved: "g_store", unit: StoreUnit, address: l.store, door: "imap", port: l.storeIMAP},
		{Name: "mta", Resource: "p_mta", moved: "g_mta", unit: MTAUnit, address: l.mta, port: l.mtaSMTP},
		{Name: "internet-agent", Resource: "p_front", moved: "p_front", unit: FrontMTAUnit, address: l.front, door: "imap", port: imapPort},
	}
}

// All is the whole system where it shares an address.
func All() Part {
	return Part{Name: "all", Resource: "p_vip", moved: "p_vip", address: together().front, door: "imap", port: imapPort}
}

// probe asks for greetings often enough to see a gap, and seldom enough not to
// be one's own load.
func (p Part) probe() traffic.ProbeConfig {
	const every = 100 * time.Millisecond
	c := traffic.ProbeConfig{ICMP: p.address, ICMPInterval: every / 5, BannerInterval: every}
	switch p.door {
	case "imap":
		c.IMAP = p.address + p.port
	case "ldap":
		c.LDAP = p.address + p.port
	default:
		c.Banner = p.address + p.port
	}
	return c
}

// gaps are the longest times without a greeting and without an echo reply, in
// milliseconds.
func (p Part) gaps(r traffic.Report) (greeting, address float64) {
	if p.door == "" {
		return value(r.BannerBlackoutMS), value(r.ICMPBlackoutMS)
	}
	return r.Doors[p.door].BlackoutMS, value(r.ICMPBlackoutMS)
}

// missed tells of the connections that were not greeted; empty: there were none.
func (p Part) missed(r traffic.Report) string {
	refused, timeouts, unreachable, cut, notReady := r.Refused, r.Timeouts, r.Unreachable, r.Cut, r.NotReady
	if p.door != "" {
		d := r.Doors[p.door]
		refused, timeouts, unreachable, cut, notReady = d.Refused, d.Timeouts, d.Unreachable, d.Cut, d.NotReady
	}
	if refused+timeouts+unreachable+cut+notReady == 0 {
		return ""
	}
	return fmt.Sprintf("%d refused, %d not greeted in time, %d unreachable, %d cut, %d greeted otherwise", refused, timeouts, unreachable, cut, notReady)
}
