// SPDX-License-Identifier: Apache-2.0

package mta

import (
	"testing"

	"github.com/mailha/mailha/agents/socket"
)

func TestParseHouse(t *testing.T) {
	const name = "mx.example.test"
	for what, tt := range map[string]struct {
		main, services string
		want           house
		fails          bool
	}{
		"plain":                        {name + "\n\n\n", "", house{name: name}, false},
		"filter in main.cf":            {name + "\n[10.77.0.50]:25\n\n", "", house{name, true}, false},
		"filter of one service":        {name + "\n\n\n", "smtp/inet/smtpd_proxy_filter = [10.77.0.50]:25\nsmtp/inet/smtpd_proxy_options = \n", house{name, true}, false},
		"filter turned off":            {name + "\n\n\n", "smtp/inet/smtpd_proxy_filter = \n", house{name: name}, false},
		"filter at the end":            {name + "\nx\nspeed_adjust\n", "", house{}, true},
		"filter at the end, apart":     {name + "\n\n\n", "a/inet/smtpd_proxy_filter = x\na/inet/smtpd_proxy_options = speed_adjust\n", house{}, true},
		"option without filter":        {name + "\n\nspeed_adjust\n", "", house{name: name}, false},
		"too little":                   {name + "\n", "", house{}, true},
		"nothing":                      {"", "", house{}, true},
		"a service named like it":      {name + "\n\n\n", "smtpd_proxy_filter/inet/myhostname = x\n", house{name: name}, false},
		"value with an equals sign":    {name + "\n\n\n", "smtp/inet/smtpd_proxy_filter=inet:a=b\n", house{name, true}, false},
		"no final line feed, services": {name + "\n\n\n", "smtp/inet/smtpd_proxy_filter = x", house{name, true}, false},
	} {
		t.Run(what, func(t *testing.T) {
			got, err := parseHouse(tt.main, tt.services)
			if got != tt.want || (err != nil) != tt.fails {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestHandsOn(t *testing.T) {
	const own, peer = 10, 20
	for _, tt := range []struct {
		what          string
		peer          string
		dgram         bool
		want, proxied bool
	}{
		{what: "cleanup", peer: "public/cleanup", want: true, proxied: true},
		{what: "another cleanup", peer: "public/pre-cleanup", want: true, proxied: true},
		{what: "proxymap", peer: "private/proxymap"},
		{what: "policy server", peer: "private/policy"},
		{what: "log", peer: "public/postlog", dgram: true},
		{what: "master", peer: ""},
		{what: "milter, or a filter", peer: "/run/rspamd.sock", proxied: true},
	} {
		all := []socket.Unix{
			{Inode: peer, Peer: own, Name: tt.peer, Stream: !tt.dgram},
			{Inode: own, Peer: peer, Stream: !tt.dgram},
			{Inode: 30, Peer: 40, Stream: true}, {Inode: 40, Peer: 30, Name: "public/cleanup", Stream: true}, // of another smtpd
			{Inode: 11, Peer: 0, Stream: true}, // what it was connected to is gone
		}
		for proxied, want := range map[bool]bool{false: tt.want, true: tt.proxied} {
			if got := (house{proxied: proxied}).handsOn(map[uint32]int{own: 3, 11: 4}, all); got != want {
				t.Errorf("%s, with a filter %t: %t", tt.what, proxied, got)
			}
		}
	}
}
