// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
)

const frontAddr = scenario.FrontAddr4

func internet(more ...string) resource {
	return resource{"internet-agent", "p_front", params{
		"ip": scenario.FrontAddr4 + " " + scenario.FrontAddr6, "protocols": "smtp submission/none imap pop3 ldap",
		"smtp_config_dir": "/etc/postfix-front", "imap_unit": scenario.FrontUnit, "ldap_unit": scenario.FrontLDAPUnit,
		"drain_timeout": "2s", "description": "the way in for everybody",
	}}.set(more...)
}

// newFront is a node with the daemons of a front door.
func newFront(t *testing.T) *place {
	t.Helper()
	return newPlaceOf(t, withFront, lab.Config{})
}

// greets opens a session at a door and reads the first line.
func greets(t testing.TB, p *place, port string) net.Conn {
	t.Helper()
	conn, err := dial(p.Client(), net.JoinHostPort(frontAddr, port), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 512)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// steady greets at a door again and again until the function returned is called,
// which fails the test if it was once in vain.
func steady(t testing.TB, p *place, port string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var failure error
	tries := 0
	all.Go(func() {
		for ; ctx.Err() == nil && failure == nil; tries++ {
			conn, err := dial(p.Client(), net.JoinHostPort(frontAddr, port), 500*time.Millisecond)
			if err == nil {
				conn.SetReadDeadline(time.Now().Add(patience))
				_, err = conn.Read(make([]byte, 512))
				conn.Close()
			}
			failure = err
		}
	})
	return func() {
		t.Helper()
		cancel()
		all.Wait()
		if failure != nil || tries == 0 {
			t.Errorf("port %s, try %d: %v", port, tries, failure)
		}
	}
}

// One daemon's death is mended on the spot, and no client of another one sees it.
func TestInternetRepairsItsParts(t *testing.T) {
	p := newFront(t)
	n, r := p.node, internet()
	r.start(t, n)
	r.monitor(t, n, 10)
	for _, part := range []struct {
		main, unit string
		others     []string
	}{
		{"dovecot", scenario.FrontUnit, []string{"25"}}, // submission asks it for passwords
		{"master", scenario.FrontMTAUnit, []string{"143", "110"}},
		{"slapd", scenario.FrontLDAPUnit, []string{"25", "143"}},
	} {
		var stops []func()
		for _, port := range part.others {
			stops = append(stops, steady(t, p, port))
		}
		run(t, n, "kill -9 "+strings.Join(pids(t, n, part.main), " "))
		var a answer
		await(t, patience, "the monitor to mend it", func() bool { // once systemd has cleared away
			a = r.do(t, n, "monitor", recurring)
			return strings.Contains(a.reason, "was started again")
		})
		if a.code != degraded {
			t.Errorf("after kill -9 of %s: %s", part.main, a)
		}
		r.monitor(t, n, 10)
		for _, stop := range stops {
			stop()
		}
	}
	r.stop(t, n)
	bare(t, n)
}

// What cannot be mended leaves the others serving, unless it is required.
func TestInternetWithoutAPart(t *testing.T) {
	p := newFront(t)
	n, r := p.node, internet()
	r.start(t, n)
	run(t, n, "systemctl stop '"+scenario.FrontUnit+"'; mv /etc/dovecot-front /etc/dovecot-away")
	if a := r.do(t, n, "monitor", recurring); a.code != degraded || !strings.Contains(a.reason, "imap") {
		t.Errorf("the IMAP proxy cannot be started: %s", a)
	}
	greets(t, p, "25")
	if a := r.set("require", "imap").do(t, n, "monitor", recurring); a.code != generic {
		t.Errorf("and is required: %s", a)
	}
	r.stop(t, n)
	bare(t, n)
	// A start does without it, too, and says so; if it is required it fails and leaves nothing.
	r.start(t, n)
	if a := r.do(t, n, "monitor", recurring); a.code != degraded {
		t.Errorf("after a start without the IMAP proxy: %s", a)
	}
	r.stop(t, n)
	r.set("require", "imap").must(t, n, "start", call{}, generic, args, installed)
	bare(t, n)
}

// Each part drains its own clients: those that idle are told to go, in the words
// of their protocol, and those that are in the middle of something finish it.
func TestInternetDrains(t *testing.T) {
	p := newFront(t)
	n, r := p.node, internet("drain_timeout", "20s", "protocols", "smtp submission:587/none imap pop3 ldap")
	run(t, n, "postconf -c /etc/postfix-front -PX smtp/inet/smtpd_proxy_filter") // the MTA is not here
	r.start(t, n)
	imap, pop := greets(t, p, "143"), greets(t, p, "110")
	smtp := newSession(t, greets(t, p, "587"))
	smtp.say("EHLO client.test", 250)
	ldap, err := dial(p.Client(), net.JoinHostPort(frontAddr, "389"), patience)
	if err != nil {
		t.Fatal(err)
	}
	defer ldap.Close()
	// Nobody may be said to idle who has not been answered yet.
	if _, err := ldap.Write([]byte("\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00")); err != nil { // bind
		t.Fatal(err)
	}
	hear(t, ldap)
	busy := connect(t, p.Client(), frontAddr)
	busy.begin("double-bounce@front.example.test")

	stop := r.background(t, n, "stop", call{timeout: 40 * time.Second})
	for name, c := range map[string]struct {
		conn net.Conn
		want string
	}{
		"IMAP": {imap, "* BYE"}, "POP3": {pop, ""}, "LDAP": {ldap, "1.3.6.1.4.1.1466.20036"}, "SMTP": {smtp.conn, "421 4.3.2"},
	} {
		if words := hear(t, c.conn); !strings.Contains(words, c.want) {
			t.Errorf("%s: %q, want %q", name, words, c.want)
		}
	}
	await(t, patience, "the drain to show", func() bool {
		return strings.Contains(run(t, n, "mailha-ocf status"), "p_front:smtp: 1 sessions")
	})
	await(t, patience, "the IMAP part to be gone", func() bool {
		return strings.Contains(run(t, n, "mailha-ocf status"), "p_front:imap  internet-agent  stopped")
	})
	// The address stands as long as anybody is connected.
	if !holding(left(t, n), "address "+frontAddr+"/") {
		t.Error("the address went before the last client")
	}
	busy.finish()
	busy.say("QUIT", 221)
	if a := succeeded(t, stop); strings.Contains(a.log, "cut=1") {
		t.Errorf("somebody was cut: %s", a)
	}
	bare(t, n)
}

// hear reads what comes next, or nothing if the other side hangs up without a word.
func hear(t testing.TB, conn net.Conn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(2 * patience)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 512)
	got, err := conn.Read(buf)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return string(buf[:got])
}

// Mail leaves from the secondary address, or waits.
func TestInternetOutbound(t *testing.T) {
	p := newFront(t)
	n, r := p.node, internet("protocols", "smtp")
	for setting, restore := range map[string]string{
		"smtp_bind_address_enforce=no":            "smtp_bind_address_enforce=yes",
		"smtp_bind_address=" + n.Addr4().String(): "smtp_bind_address=" + scenario.FrontAddr4,
		"smtp_bind_address6=":                     "smtp_bind_address6=" + scenario.FrontAddr6,
	} {
		run(t, n, "postconf -c /etc/postfix-front -e '"+setting+"'")
		name, _, _ := strings.Cut(setting, "=")
		if a := r.must(t, n, "start", call{}, args); !strings.Contains(a.reason, name) {
			t.Errorf("%s: %s", setting, a)
		}
		bare(t, n)
		run(t, n, "postconf -c /etc/postfix-front -e '"+restore+"'")
	}
	// Every address of a family has to be the resource's.
	if a := r.set("ip", scenario.FrontAddr4).must(t, n, "start", call{}, args); !strings.Contains(a.reason, "IPv6") {
		t.Errorf("one family: %s", a)
	}
	bare(t, n)

	// Whatever goes to a mail server from another address is seen here.
	run(t, n, `nft 'add table inet watch; add chain inet watch out { type filter hook output priority 0; }
add rule inet watch out tcp dport 25 ip saddr != { 127.0.0.1, `+scenario.FrontAddr4+` } counter
add rule inet watch out tcp dport 25 ip6 saddr != { ::1, `+scenario.FrontAddr6+` } counter'`)
	r.start(t, n)
	send := "printf 'Subject: x\\n\\nx\\n' | sendmail -C /etc/postfix-front -f sender@example.test "
	deferred := func(times int) {
		t.Helper()
		await(t, 3*patience, "the mail to wait", func() bool {
			return strings.Count(run(t, n, "cat /var/log/postfix-front.log"), "status=deferred") >= times
		})
	}
	run(t, n, send+"one@sink.test") // there is no sink yet
	deferred(1)
	sink := startSink(t, p, 0)
	run(t, n, "ip address del "+scenario.FrontAddr4+"/32 dev eth0") // a queue run is every few seconds
	deferred(2)
	if sink.copies()["one@sink.test"] > 0 {
		t.Error("mail went out without the secondary address")
	}
	run(t, n, "ip address add "+scenario.FrontAddr4+"/32 dev eth0; postqueue -c /etc/postfix-front -f")
	sink.has(3*patience, "one@sink.test")
	if out := run(t, n, "nft list table inet watch"); strings.Count(out, "counter packets 0") != 2 {
		t.Errorf("mail went out from another address:\n%s", out)
	}
	r.stop(t, n)
	run(t, n, "nft delete table inet watch")
	bare(t, n)
}

// Before a failover shows it, validation says that names and addresses do not agree.
func TestInternetNames(t *testing.T) {
	p := newFront(t)
	n, r := p.node, internet("protocols", "smtp")
	a := r.must(t, n, "validate-all", call{depth: 10}, success)
	if !strings.Contains(a.log, "has no address") || !strings.Contains(a.log, "has no name") {
		t.Errorf("without a DNS: %s", a)
	}
	run(t, n, "printf '%s front.example.test\\n%s old.example.test\\n' "+scenario.FrontAddr4+" "+scenario.FrontAddr6+" >>/etc/hosts")
	a = r.must(t, n, "validate-all", call{depth: 10}, success)
	if !strings.Contains(a.log, "is called old.example.test") || !strings.Contains(a.log, "does not lead to "+scenario.FrontAddr6) {
		t.Errorf("one address is another host's: %s", a)
	}
	run(t, n, "sed -i s/old.example/front.example/ /etc/hosts")
	if a = r.must(t, n, "validate-all", call{depth: 10}, success); strings.Contains(a.log, "WARN") {
		t.Errorf("all agree: %s", a)
	}
}

// A certificate that is about to end is told of in time, whichever daemon has it.
func TestInternetCertificates(t *testing.T) {
	p := newFront(t)
	n, r := p.node, internet("protocols", "imap/starttls imaps pop3s submission/none", "require", "imaps")
	certify := func(days int) {
		run(t, n, fmt.Sprintf(`openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=front.example.test -days %d -keyout /etc/dovecot-front/key -out /etc/dovecot-front/cert 2>&1
grep -q ssl_cert /etc/dovecot-front/dovecot.conf || sed -i 's/^ssl = no/ssl = yes\nssl_cert = <\/etc\/dovecot-front\/cert\nssl_key = <\/etc\/dovecot-front\/key/' /etc/dovecot-front/dovecot.conf`, days))
	}
	certify(30)
	r.start(t, n)
	r.monitor(t, n, 10)
	certify(5)
	run(t, n, "systemctl reload '"+scenario.FrontUnit+"'")
	var a answer
	await(t, patience, "the new certificate to be seen", func() bool {
		a = r.do(t, n, "monitor", call{interval: 10 * time.Second, depth: 10})
		return a.code != success
	})
	for _, door := range []string{"imap:", "imaps:", "pop3s:"} {
		if a.code != degraded || !strings.Contains(a.reason, door) {
			t.Errorf("want %s in a warning: %s", door, a)
		}
	}
	r.set("cert_days", "0").monitor(t, n, 10)
	r.stop(t, n)
	bare(t, n)
}
