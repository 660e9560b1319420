// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/probe"
)

// printed is what doveconf -S prints, shortened.
const printed = `base_dir=/run/dovecot-store
ssl=required
protocols=imap lmtp
listen=192.0.2.52, [2001:db8::52]
service=stats imap-login pop3-login lmtp doveadm
service/stats/protocol=
service/stats/inet_listener=http
service/stats/inet_listener/http/port=9900
service/imap-login/protocol=imap
service/imap-login/inet_listener=imap imaps behind\_haproxy
service/imap-login/inet_listener/imap/address=
service/imap-login/inet_listener/imap/port=143
service/imap-login/inet_listener/imap/ssl=no
service/imap-login/inet_listener/imap/haproxy=no
service/imap-login/inet_listener/imaps/address=*, ::
service/imap-login/inet_listener/imaps/port=993
service/imap-login/inet_listener/imaps/ssl=yes
service/imap-login/inet_listener/behind\_haproxy/address=192.0.2.1
service/imap-login/inet_listener/behind\_haproxy/port=10143
service/imap-login/inet_listener/behind\_haproxy/haproxy=yes
service/imap-login/unix_listener=x
service/imap-login/unix_listener/x/mode=0600
service/pop3-login/protocol=pop3
service/pop3-login/inet_listener=pop3
service/pop3-login/inet_listener/pop3/port=110
service/lmtp/protocol=lmtp
service/lmtp/inet_listener=lmtp off
service/lmtp/inet_listener/lmtp/address=mail.example.test
service/lmtp/inet_listener/lmtp/port=24
service/lmtp/inet_listener/off/port=0
service/lmtp/unix_listener=lmtp \svar\sspool\slmtp off
service/lmtp/unix_listener/lmtp/path=lmtp
service/lmtp/unix_listener/lmtp/mode=0666
service/lmtp/unix_listener/\svar\sspool\slmtp/path=/var/spool/lmtp
service/lmtp/unix_listener/\svar\sspool\slmtp/mode=0600
service/lmtp/unix_listener/off/path=off
service/lmtp/unix_listener/off/mode=00
service/doveadm/protocol=
service/doveadm/inet_listener=replication
service/doveadm/inet_listener/replication/port=12345
`

func addrs(texts ...string) []netip.Addr {
	var list []netip.Addr
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

func TestDoors(t *testing.T) {
	s := parseSettings(printed)
	own := addrs("192.0.2.52", "2001:db8::52")
	want := []agents.Door{
		{Protocol: "imap", Port: 143, Addrs: own, TLS: "starttls"},
		{Protocol: "imap", Port: 993, TLS: "tls"},
		{Protocol: "imap", Port: 10143, Addrs: addrs("192.0.2.1"), TLS: "starttls", Mute: true},
		{Protocol: "lmtp", Port: 24, TLS: "starttls", Inward: true},
		{Protocol: "lmtp", Path: "/run/dovecot-store/lmtp", Inward: true},
		{Protocol: "lmtp", Path: "/var/spool/lmtp", Inward: true},
	}
	doors, err := s.doors()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, doors, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	ports, bound := reachedBy(doors)
	if !slices.Equal(ports, []uint16{143, 993, 10143, 24}) || bound != nil {
		t.Errorf("ports %v, bound to %v", ports, bound)
	}
	if _, bound := reachedBy(doors[:1]); !slices.Equal(bound, own) {
		t.Errorf("bound to %v", bound)
	}

	s["ssl"] = "no"
	doors, err = s.doors()
	if err != nil || slices.ContainsFunc(doors, func(d agents.Door) bool { return d.TLS != "" || d.Port == 993 }) {
		t.Errorf("without TLS: %v, %v", doors, err)
	}
	for _, port := range []string{"", "imap", "65536", "-1"} {
		s["service/lmtp/inet_listener/lmtp/port"] = port
		if doors, err := s.doors(); err == nil {
			t.Errorf("port %q: %v", port, doors)
		}
	}
	s["protocols"] = ""
	if doors, err := s.doors(); err != nil || doors != nil {
		t.Errorf("without protocols: %v, %v", doors, err)
	}
}

func TestTargetOf(t *testing.T) {
	vip := netip.MustParseAddr("192.0.2.52")
	for _, tt := range []struct {
		door agents.Door
		want string
		tls  probe.TLS
	}{
		{agents.Door{Port: 143, TLS: "starttls"}, "192.0.2.52:143", probe.None},
		{agents.Door{Port: 993, TLS: "tls"}, "192.0.2.52:993", probe.Implicit},
		{agents.Door{Port: 24, Addrs: addrs("127.0.0.1", "192.0.2.52")}, "192.0.2.52:24", probe.None},
		{agents.Door{Port: 24, Addrs: addrs("127.0.0.1", "::1")}, "127.0.0.1:24", probe.None},
		{agents.Door{Path: "/run/lmtp"}, "/run/lmtp", probe.None},
	} {
		if got := targetOf(tt.door, vip); got.String() != tt.want || got.TLS != tt.tls {
			t.Errorf("%+v: %s, TLS %q", tt.door, got, got.TLS)
		}
	}
}

// What is known without a configuration, a stop works from.
func TestInspectWithoutConfiguration(t *testing.T) {
	d := NewDovecot()
	d.configDir, d.binary = "/etc/no-such-dovecot", "/no/such/dovecot"
	facts, err := d.Inspect(t.Context())
	if !errors.Is(err, agents.ErrInstalled) {
		t.Fatalf("got %v", err)
	}
	if want := `mailha-dovecot@etc-no\x2dsuch\x2ddovecot.service`; facts.Unit != want {
		t.Errorf("unit %q, want %q", facts.Unit, want)
	}
	p := facts.Process
	if p.ControlGroup != `/system.slice/system-mailha\x2ddovecot.slice/`+facts.Unit || p.Argument != "/etc/no-such-dovecot/dovecot.conf" ||
		!slices.Contains(p.Programs, "/no/such/dovecot") || !slices.Contains(p.Programs, programs) {
		t.Errorf("processes %+v", p)
	}
}

func TestMarkerPath(t *testing.T) {
	for marker, want := range map[string]string{".m": "/srv/store/.m", "/srv/.m": "/srv/.m", "sub/../m": "/srv/store/m"} {
		a := newAgent(agents.Env{})
		a.mailDir, a.marker = "/srv/store", agents.Text(marker)
		if got := a.markerPath(); got != want {
			t.Errorf("%q: %q, want %q", marker, got, want)
		}
	}
}

func TestResolved(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, dir+"/link"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{dir + "/link": dir, dir + "/link/not/there": dir + "/not/there", "": "", "/": "/", "/no/such": "/no/such"} {
		if got := resolved(path); got != want {
			t.Errorf("resolved(%q) = %q, want %q", path, got, want)
		}
	}
}

func FuzzDoors(f *testing.F) {
	f.Add(printed)
	f.Add("service=x\nprotocols=\nservice/x/inet_listener=a\nservice/x/inet_listener/a/port=1")
	f.Fuzz(func(t *testing.T, text string) {
		doors, err := parseSettings(text).doors()
		for _, d := range doors {
			if err != nil || (d.Port == 0) == (d.Path == "") || d.Path != "" && !strings.Contains(d.Path, "/") && !strings.Contains(text, d.Path) {
				t.Errorf("%+v, %v", d, err)
			}
		}
	})
}
