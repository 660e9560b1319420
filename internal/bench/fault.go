// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/scenario"
)

// stopped are processes that live and do nothing: the main one, which others may
// serve without for a while, and all of them.
func stopped(pidFile, unit string) []fault {
	all := func(signal string) string {
		return "systemctl kill --kill-whom=all --signal=" + signal + " '" + unit + "'"
	}
	return []fault{
		{name: "main process stopped (SIGSTOP)", plant: "kill -STOP $(cat " + pidFile + ")", mend: "kill -CONT $(cat " + pidFile + ")"},
		{name: "all processes stopped (SIGSTOP)", plant: all("STOP"), mend: all("CONT")},
	}
}

// strange runs another program, one that speaks HTTP, on a port.
func strange(addr string, port int) string {
	return fmt.Sprintf(`systemd-run -q --collect --unit=stranger python3 -m http.server --bind %s %d
for i in $(seq 100); do ss -ltn | grep -q ':%d ' && break; sleep 0.1; done`, addr, port, port)
}

const noStranger = "systemctl stop stranger.service; "

// redirected is a port that another program gets the connections of, as a
// container engine does it that publishes that port.
func redirected(addr string, port int) fault {
	rule := fmt.Sprintf("ip daddr %s tcp dport %d redirect to :9999", addr, port)
	return fault{name: "port redirected to another program",
		plant: strange("0.0.0.0", 9999) + "\nnft 'add table ip stranger; add chain ip stranger in { type nat hook prerouting priority -110; }" +
			"; add chain ip stranger out { type nat hook output priority -110; }; add rule ip stranger in " + rule + "; add rule ip stranger out " + rule + "'",
		mend: noStranger + "nft delete table ip stranger"}
}

// held is a port that somebody has before the service starts.
func held(addr string, port int) fault {
	return fault{name: "started while another program holds the port", restart: true,
		plant: strange(addr, port), mend: noStranger}
}

func full(dir string) fault {
	return fault{name: "disk full", plant: "head -c 1G /dev/zero >" + dir + "/fill 2>/dev/null || :", mend: "rm " + dir + "/fill; sync " + dir}
}

// fullDatabase also uses up what the database has put by: pages of entries that
// were deleted.
func fullDatabase() fault {
	f := full(scenario.DirectoryData)
	const ldap = " -Q -Y EXTERNAL -H ldapi://%2Frun%2Fmailha-slapd%2Fmailha-ldap.ldapi "
	f.plant += `
text=$(head -c 6000 /dev/zero | tr '\0' x)
for i in $(seq 500); do
	printf 'dn: cn=fill%d,ou=ledger,` + scenario.Suffix + `\nobjectClass: applicationProcess\ncn: fill%d\ndescription: %s\n' $i $i $text |
		ldapadd` + ldap + `>/dev/null 2>&1 || exit 0
done
exit 1`
	f.mend += "\nldapsearch" + ldap + "-LLL -o ldif-wrap=no -b ou=ledger," + scenario.Suffix + " '(cn=fill*)' 1.1 2>/dev/null | sed -n 's/^dn: //p' | ldapdelete" + ldap
	return f
}

// expired waits until clients see the other certificate.
func expired(addr string, port int, protocol, reload string) fault {
	until := func(want string) string {
		return fmt.Sprintf(`for i in $(seq 100); do
	if echo | timeout 5 openssl s_client -connect %s:%d -starttls %s 2>/dev/null | openssl x509 -noout -checkend 0 >/dev/null; then now=good; else now=expired; fi
	[ $now = %s ] && break; sleep 0.1
done; [ $now = %[4]s ]`, addr, port, protocol, want)
	}
	change := func(to string) string {
		return "cat /etc/bench/" + to + ".pem >/etc/bench/live.pem; " + reload + "\n" + until(to)
	}
	return fault{name: "certificate expired", plant: change("expired"), mend: change("good")}
}

func claimed(addr string) fault {
	return fault{name: "address claimed by another host", elsewhere: true,
		plant: "ip addr add " + addr + "/32 dev eth0; arping -q -c 2 -U -I eth0 " + addr,
		mend:  "ip addr del " + addr + "/32 dev eth0"}
}

func broken(file, line string) fault {
	return fault{name: "configuration broken while the service runs",
		plant: fmt.Sprintf("cp -a '%s' /root/saved; echo '%s' >>'%s'", file, line, file), mend: "cp -a /root/saved '" + file + "'"}
}

func unmounted(disk int, dir string) fault {
	return fault{name: "file system of the data unmounted", plant: "umount -l " + dir, mend: "mount " + lab.Disk(disk) + " " + dir}
}

func mtaFaults() []fault {
	const queue, addr, port = "/srv/mail/queue", scenario.MTAAddr4, 25
	return append(stopped(queue+"/pid/master.pid", scenario.MTAUnit), []fault{
		redirected(addr, port),
		held(addr, port),
		full("/srv/mail"),
		expired(addr, port, "smtp", "postfix -c /etc/postfix-mx reload 2>/dev/null"),
		{name: "queue not writable", plant: "chown root " + queue + "/incoming", mend: "chown postfix " + queue + "/incoming"},
		claimed(addr),
		broken("/etc/postfix-mx/main.cf", "mail_owner = nobody-of-that-name"),
		unmounted(1, "/srv/mail"),
	}...)
}

func storeFaults() []fault {
	const addr, port = scenario.StoreAddr4, 143
	const index = "/srv/store/u1/mail/mailboxes/INBOX/dbox-Mails"
	return append(stopped("/run/dovecot-store/master.pid", scenario.StoreUnit), []fault{
		redirected(addr, port),
		held(addr, port),
		full("/srv/store"),
		expired(addr, port, "imap", "doveadm -c /etc/dovecot-store/dovecot.conf reload"),
		claimed(addr),
		broken("/etc/dovecot-store/dovecot.conf", "nonsense {"),
		unmounted(2, "/srv/store"),
		{name: "index of a mailbox broken",
			plant: "printf 'Subject: x\\n\\nx\\n' | doveadm -c /etc/dovecot-store/dovecot.conf save -u u1; for f in " + index + "/dovecot.index*; do head -c 4096 /dev/urandom >$f; done",
			mend:  "rm -f " + index + "/dovecot.index*; doveadm -c /etc/dovecot-store/dovecot.conf force-resync -u u1 INBOX"},
	}...)
}

// change changes the directory's own configuration.
func change(ldif string) string {
	return "ldapmodify -Q -Y EXTERNAL -H ldapi://%2Frun%2Fmailha-slapd%2Fmailha-ldap.ldapi >/dev/null <<EOT\n" + ldif + "\nEOT"
}

// offerLDAPTLS changes the configuration of a server that does not run.
const offerLDAPTLS = `slapmodify -n 0 -F /etc/mailha-ldap <<EOT
dn: cn=config
changetype: modify
replace: olcTLSCertificateFile
olcTLSCertificateFile: /etc/bench/live.pem
-
replace: olcTLSCertificateKeyFile
olcTLSCertificateKeyFile: /etc/bench/live.pem
EOT
chown -R openldap:openldap /etc/mailha-ldap`

func directoryFaults() []fault {
	const addr, port = scenario.DirectoryAddr4, 389
	readOnly := func(value string) string {
		return change("dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\nreplace: olcReadOnly\nolcReadOnly: " + value)
	}
	return append(stopped("/run/mailha-slapd/mailha-ldap.pid", scenario.DirectoryUnit), []fault{
		redirected(addr, port),
		held(addr, port),
		fullDatabase(),
		expired(addr, port, "ldap", change("dn: cn=config\nchangetype: modify\nreplace: olcTLSCertificateFile\nolcTLSCertificateFile: /etc/bench/live.pem")),
		claimed(addr),
		broken("/etc/mailha-ldap/cn=config/olcDatabase={1}mdb.ldif", "olcNonsense: x"),
		unmounted(3, scenario.DirectoryData),
		{name: "database read-only", plant: readOnly("TRUE"), mend: readOnly("FALSE")},
	}...)
}
