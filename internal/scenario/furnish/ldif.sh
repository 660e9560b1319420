#!/bin/sh
# What the OpenLDAP servers have in common, in LDIF. Other scripts read this.

server() { # PID-FILE MODULE...: all up to the first database; further attributes of cn=config come by standard input
	cat <<EOT
dn: cn=config
objectClass: olcGlobal
cn: config
olcPidFile: $1
olcLogLevel: none
EOT
	cat
	shift
	cat <<EOT

dn: cn=module,cn=config
objectClass: olcModuleList
cn: module
olcModulePath: /usr/lib/ldap
$(printf 'olcModuleLoad: %s\n' "$@" back_monitor)

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

include: file:///etc/ldap/schema/core.ldif
include: file:///etc/ldap/schema/cosine.ldif
include: file:///etc/ldap/schema/nis.ldif
include: file:///etc/ldap/schema/inetorgperson.ldif

dn: olcDatabase={0}config,cn=config
objectClass: olcDatabaseConfig
olcDatabase: {0}config
olcAccess: to * by dn.exact=gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth manage by * none

EOT
}

syncprov() { # of the database with the entries
	cat <<EOT

dn: olcOverlay=syncprov,olcDatabase={1}mdb,cn=config
objectClass: olcOverlayConfig
objectClass: olcSyncProvConfig
olcOverlay: syncprov
olcSpCheckpoint: 100 1
EOT
}

monitor() { # the last database
	cat <<EOT

dn: olcDatabase={2}monitor,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMonitorConfig
olcDatabase: {2}monitor
olcAccess: to * by dn.exact=gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth manage by * read
EOT
}

# The replicas take each other's entries for their own if these are the same on each
# node, down to what a server itself would choose.
number=0
stamp() { # OBJECT-CLASS: the rest of an entry
	number=$((number + 1))
	cat <<EOT
structuralObjectClass: $1
entryUUID: $(printf '00000000-0000-4000-8000-%012d' $number)
entryCSN: 20260101000000.$(printf %06d $number)Z#000000#001#000000
creatorsName: cn=admin,$suffix
modifiersName: cn=admin,$suffix
createTimestamp: 20260101000000Z
modifyTimestamp: 20260101000000Z

EOT
}
