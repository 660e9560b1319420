#!/bin/sh
# The directory: OpenLDAP with a replica on every node. Each takes over what the
# others have, and each could be written to; clients write to the one that has
# the directory's address.
set -eu
. "${0%/*}/names.sh"
. "${0%/*}/ldif.sh"
config=/etc/mailha-ldap data=/var/lib/mailha-ldap run=/run/mailha-slapd
own=$(sed 's/\.[0-9]*\/.*/&/; s/\/.*//' /etc/mailha-lab/addr | grep -v : | head -n 1)
replicas=$(sed -n 's/^\([0-9.]*\) node[0-9]*$/\1/p' /etc/hosts)
rm -rf "$config" "$data"
install -d -o openldap -g openldap -m 0750 "$config" "$data"

cat >"$config.env" <<EOT
SLAPD_SERVICES="ldap://$own ldap://$directory4 ldap://[$directory6] ldapi://$(echo "$run/mailha-ldap.ldapi" | sed 's/\//%2F/g')"
EOT

# The same on each node: a replica knows itself by the URL that it listens on.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 700 "$work"
{
	id=0
	for replica in $replicas; do
		id=$((id + 1))
		echo "olcServerID: $id ldap://$replica"
	done | server "$run/mailha-ldap.pid" back_mdb syncprov
	cat <<EOT
dn: olcDatabase={1}mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: {1}mdb
olcSuffix: $suffix
olcDbDirectory: $data
olcDbMaxSize: 268435456
olcRootDN: cn=admin,$suffix
olcDbIndex: objectClass,uid,mail,cn eq
olcDbIndex: entryUUID,entryCSN eq
olcAccess: to * by dn.exact=gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth manage by dn.exact=cn=replica,$suffix read by * break
olcAccess: to attrs=userPassword by self write by anonymous auth by * none
olcAccess: to dn.subtree=ou=ledger,$suffix by dn.exact=cn=writer,$suffix write by * read
olcAccess: to * by * read
olcLimits: dn.exact=cn=replica,$suffix time=unlimited size=unlimited
olcLimits: dn.exact=cn=writer,$suffix time=unlimited size=unlimited
EOT
	id=0
	for replica in $replicas; do
		id=$((id + 1))
		echo "olcSyncrepl: rid=00$id provider=ldap://$replica searchbase=$suffix type=refreshAndPersist" \
			"retry=\"1 +\" network-timeout=2 keepalive=5:3:2" \
			"bindmethod=simple binddn=cn=replica,$suffix credentials=\"$(password "$accounts" replica)\""
	done
	echo "olcMultiProvider: TRUE"
	syncprov
	monitor
} >"$work/config.ldif"
slapadd -n 0 -F "$config" -l "$work/config.ldif"

hashed() { # NAME PASSWORD; the salt is the name's, to be the same everywhere
	salt=$(printf 'salt of %s' "$1")
	printf '{SSHA}%s' "$({ printf '%s%s' "$2" "$salt" | openssl dgst -sha1 -binary && printf %s "$salt"; } | base64 -w 0)"
}
{
	printf 'dn: %s\nobjectClass: organization\nobjectClass: dcObject\no: Example\ndc: example\n' "$suffix"
	stamp organization
	for unit in people ledger; do
		printf 'dn: ou=%s,%s\nobjectClass: organizationalUnit\nou: %s\n' $unit "$suffix" $unit
		stamp organizationalUnit
	done
	while IFS=: read -r name password; do
		printf 'dn: cn=%s,%s\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: %s\nuserPassword: %s\n' \
			"$name" "$suffix" "$name" "$(hashed "$name" "$password")"
		stamp organizationalRole
	done <"$accounts"
	while IFS=: read -r name password; do
		cat <<EOT
dn: uid=$name,ou=people,$suffix
objectClass: inetOrgPerson
objectClass: posixAccount
uid: $name
cn: $name
sn: $name
mail: $name@$domain
uidNumber: 5000
gidNumber: 5000
homeDirectory: /srv/store/$name
userPassword: $(hashed "$name" "$password")
EOT
		stamp inetOrgPerson
	done <"$users"
} >"$work/data.ldif"
slapadd -q -w -F "$config" -b "$suffix" -l "$work/data.ldif"
chown -R openldap:openldap "$config" "$data"
