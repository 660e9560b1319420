#!/bin/sh
# slapd.sh NODE REPLICAS: furnishes a node with one of so many OpenLDAP servers
# that replicate each other; each could be written to. Its configuration is in
# /etc/mailha-ldap, its data are in /srv/mail/ldap.
set -eu
. /root/furnish/ldif.sh
self=$1 replicas=$2
config=/etc/mailha-ldap data=/srv/mail/ldap run=/run/mailha-slapd suffix=dc=example,dc=test
rm -rf "$config" "$data" "$data.mailha"
install -d -o openldap -g openldap -m 0750 "$config" "$data" "$run"

cat >"$config.env" <<EOT
SLAPD_SERVICES="ldap:/// ldaps:/// ldapi://%2Frun%2Fmailha-slapd%2Fmailha-ldap.ldapi"
EOT

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=ldap.example.test \
	-keyout "$config/key.pem" -out "$config/cert.pem" 2>/dev/null
printf 'secret of the writer' >/etc/mailha-ldap.password
chmod 600 /etc/mailha-ldap.password

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
{
	server "$run/mailha-ldap.pid" back_mdb syncprov <<EOT
olcServerID: $self
olcTLSCertificateFile: $config/cert.pem
olcTLSCertificateKeyFile: $config/key.pem
EOT
	cat <<EOT
dn: olcDatabase={1}mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: {1}mdb
olcSuffix: $suffix
olcDbDirectory: $data
olcDbMaxSize: 268435456
olcRootDN: cn=admin,$suffix
olcDbIndex: objectClass,cn eq
olcDbIndex: entryUUID,entryCSN eq
olcAccess: to * by dn.exact=cn=replica,$suffix read by * break
olcAccess: to attrs=userPassword by self write by anonymous auth by * none
olcAccess: to * by dn.exact=cn=writer,$suffix write by * read
olcLimits: dn.exact=cn=replica,$suffix time=unlimited size=unlimited
olcLimits: dn.exact=cn=writer,$suffix time=unlimited size=unlimited
EOT
	for n in $(seq "$replicas"); do
		[ "$n" = "$self" ] || echo "olcSyncrepl: rid=00$n provider=ldap://10.77.0.1$n searchbase=$suffix type=refreshAndPersist" \
			"retry=\"1 +\" network-timeout=2 keepalive=5:3:2" \
			"bindmethod=simple binddn=cn=replica,$suffix credentials=\"secret of the replicas\""
	done
	[ "$replicas" = 1 ] || echo "olcMultiProvider: TRUE"
	syncprov
	monitor
} >"$work/config.ldif"
slapadd -n 0 -F "$config" -l "$work/config.ldif"

{
	printf 'dn: %s\nobjectClass: organization\nobjectClass: dcObject\no: Example\ndc: example\n' "$suffix"
	stamp organization
	printf 'dn: ou=ledger,%s\nobjectClass: organizationalUnit\nou: ledger\n' "$suffix"
	stamp organizationalUnit
	for account in 'writer:secret of the writer' 'replica:secret of the replicas'; do
		printf 'dn: cn=%s,%s\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: %s\nuserPassword: %s\n' \
			"${account%%:*}" "$suffix" "${account%%:*}" "${account#*:}"
		stamp organizationalRole
	done
} >"$work/data.ldif"
slapadd -q -w -F "$config" -b "$suffix" -l "$work/data.ldif"
chown -R openldap:openldap "$config" "$data"
