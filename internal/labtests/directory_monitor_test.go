// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// What can be wrong with a directory is found at the depth that it takes, and
// told for the role that it is wrong in.
func TestDirectoryMonitor(t *testing.T) {
	p := newReplicas(t, 2)
	one, two := p.Nodes()[0], p.Nodes()[1]
	r := directory("check_base", ldapBase, "check_bind_dn", writerDN, "check_password_file", "/etc/mailha-ldap.password")
	p.start(r)
	r.stop(t, one)
	const database = "olcDatabase={1}mdb,cn=config"
	suspend, resume := "kill -STOP $(pidof slapd)", "kill -CONT $(pidof slapd)"
	renew := func(days int) string {
		return fmt.Sprintf(`cd %s; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days %d -subj /CN=x -keyout key.pem -out cert.pem 2>/dev/null
			chown openldap key.pem cert.pem; systemctl restart '%s'; until ldapsearch -Q -Y EXTERNAL -H %s -s base -b '' >/dev/null 2>&1; do sleep 0.02; done`, ldapConfig, days, ldapUnit, ldapSocket)
	}
	change := func(attribute, value string) string {
		return fmt.Sprintf(`printf 'dn: %s\nchangetype: modify\nreplace: %s\n%[2]s: %[3]s\n' | ldapmodify -Q -Y EXTERNAL -H %[4]s`, database, attribute, value, ldapSocket)
	}
	for _, tt := range []struct {
		name        string
		r           resource
		spoil, mend string
		promoted    bool
		want        [3]int // at depths 0, 10, 20; 0 stands for well
		reason      string // of the last one that is not well
	}{
		{name: "well", r: r},
		{name: "well, promoted", r: r, promoted: true},
		{name: "suspended", r: r, spoil: suspend, mend: resume, want: [3]int{generic, generic, generic}, reason: "suspended"},
		{name: "suspended, promoted", r: r, promoted: true, spoil: suspend, mend: resume, want: [3]int{failedPromoted, failedPromoted, failedPromoted}, reason: "suspended"},
		{name: "writable", r: r, spoil: change("olcReadOnly", "FALSE"), mend: change("olcReadOnly", "TRUE"), want: [3]int{0, generic, generic}, reason: "takes changes"},
		{name: "read-only, promoted", r: r, promoted: true, spoil: change("olcReadOnly", "TRUE"), mend: change("olcReadOnly", "FALSE"), want: [3]int{0, failedPromoted, failedPromoted}, reason: "refuses changes"},
		{name: "address gone, promoted", r: r, promoted: true, spoil: "ip addr del " + vip4 + "/32 dev eth0", mend: "ip addr add " + vip4 + "/32 dev eth0", want: [3]int{failedPromoted, failedPromoted, failedPromoted}, reason: vip4},
		{name: "address here, not promoted", r: r, spoil: "ip addr add " + vip4 + "/32 dev eth0", mend: "ip addr del " + vip4 + "/32 dev eth0", want: [3]int{failedPromoted, failedPromoted, failedPromoted}, reason: vip6},
		{name: "no room, promoted", r: r, promoted: true, want: [3]int{0, degradedPromoted, failedPromoted}, reason: "80",
			spoil: change("olcDbMaxSize", "1048576") + fmt.Sprintf(`; for i in $(seq 600); do printf 'dn: cn=big%%s,%s\nchangetype: add\nobjectClass: device\ncn: big%%s\ndescription: %%01000d\n\n' $i $i 0; done |
				ldapmodify -c -x -D %s -w '%s' -H ldap://127.0.0.1 >/dev/null 2>&1 || true
				for i in $(seq 600); do printf 'dn: cn=small%%s,%[1]s\nchangetype: add\nobjectClass: device\ncn: small%%s\n\n' $i $i; done |
				ldapmodify -c -x -D %[2]s -w '%[3]s' -H ldap://127.0.0.1 >/dev/null 2>&1 || true`, ldapBase, writerDN, writerPassword),
			mend: change("olcDbMaxSize", "268435456")},
		{name: "certificate about to end", r: r, spoil: renew(3), mend: renew(90), want: [3]int{0, degraded, degraded}, reason: "certificate of ldap://127.0.0.1 ends in 2 days"},
		{name: "certificate about to end, not asked for", r: r.set("cert_days", "0"), spoil: renew(3), mend: renew(90)},
		{name: "data unmounted, promoted", r: r, promoted: true, spoil: "mount -t tmpfs none " + ldapData, mend: "umount " + ldapData, want: [3]int{0, failedPromoted, failedPromoted}, reason: "not in their place"},
		{name: "data of others in their place, promoted", r: r, promoted: true, spoil: "mkdir /root/data; cp --sparse=always " + ldapData + "/data.mdb /root/data/; mount --bind /root/data " + ldapData, mend: "umount " + ldapData + "; rm -r /root/data", want: [3]int{0, failedPromoted, failedPromoted}, reason: "other data"},
		{name: "configuration broken", r: r, spoil: "cd '" + ldapConfig + "/cn=config'; cp -a 'olcDatabase={1}mdb.ldif' /root/saved; echo 'olcDbIndex: mail nonsense' >>'olcDatabase={1}mdb.ldif'", mend: "cp -a /root/saved '" + ldapConfig + "/cn=config/olcDatabase={1}mdb.ldif'", want: [3]int{0, degraded, degraded}, reason: "nonsense"},
		{name: "could not start again", r: r, spoil: "mv '" + ldapConfig + "/cn=config' /root/", mend: "mv '/root/cn=config' " + ldapConfig, want: [3]int{0, degraded, degraded}, reason: "could not be started again"},
		{name: "password wrong, promoted", r: r, promoted: true, spoil: "printf wrong >/etc/mailha-ldap.password", mend: "printf '" + writerPassword + "' >/etc/mailha-ldap.password", want: [3]int{0, 0, failedPromoted}, reason: "invalid credentials"},
		{name: "password for all to read, promoted", r: r, promoted: true, spoil: "chmod 644 /etc/mailha-ldap.password", mend: "chmod 600 /etc/mailha-ldap.password", want: [3]int{0, 0, failedPromoted}, reason: "others can read"},
		{name: "nowhere to write, promoted", r: r.set("check_base", "ou=nowhere,"+ldapSuffix), promoted: true, want: [3]int{0, 0, failedPromoted}, reason: "no such object"},
		{name: "test entry left, promoted", r: r, promoted: true,
			spoil: fmt.Sprintf(`printf 'dn: cn=mailha-check-node1,%s\nchangetype: add\nobjectClass: device\ncn: mailha-check-node1\n' | ldapmodify -x -D %s -w '%s' -H ldap://127.0.0.1`, ldapBase, writerDN, writerPassword)},
		{name: "reads only, promoted", r: directory(), promoted: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.r.start(t, one)
			if tt.promoted {
				tt.r.must(t, one, "promote", call{}, success)
			}
			if tt.spoil != "" {
				run(t, one, tt.spoil)
			}
			var last answer
			for i, depth := range []int{0, 10, 20} {
				want := tt.want[i]
				if want == 0 && tt.promoted {
					want = runningPromoted
				}
				var a answer
				// Others may need a moment to follow again.
				wanted := func() bool {
					a = tt.r.do(t, one, "monitor", call{interval: time.Minute, depth: depth, timeout: 4 * time.Second})
					return a.code == want
				}
				for end := time.Now().Add(patience); !wanted() && time.Now().Before(end); {
				}
				if a.code != want {
					t.Errorf("depth %d: want exit code %d, got %s", depth, want, a)
				}
				if want != 0 && want != runningPromoted {
					last = a
				}
			}
			if !strings.Contains(last.reason, tt.reason) {
				t.Errorf("want %q in the reason: %s", tt.reason, last.reason)
			}
			if strings.Contains(last.log, writerPassword) || strings.Contains(last.log, "secret of the replicas") {
				t.Errorf("a password is in the log: %s", last)
			}
			if tt.mend != "" {
				run(t, one, tt.mend)
				// The test entry that a full database took and could not delete goes as well.
				well := success
				if tt.promoted {
					well = runningPromoted
				}
				await(t, patience, "all to be well again", func() bool {
					return tt.r.do(t, one, "monitor", call{interval: time.Minute, depth: 20}).code == well
				})
			}
			if got := p.count(one, "cn=mailha-check-*"); got != 0 {
				t.Errorf("%d test entries are left", got)
			}
			tt.r.stop(t, one)
			bare(t, one)
		})
	}
	r.stop(t, two)
	bare(t, two)
}
