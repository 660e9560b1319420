// SPDX-License-Identifier: Apache-2.0

package scenario

// Where things are on the stage.
const (
	vip4     = "10.77.0.50"
	vip6     = "fd77::50"
	sinkAddr = "10.77.0.101"
	smtpPort = ":25"
	// MTA is the resource that the acts are about.
	MTA = "p_mta"
	// Policy is another service on the same node, which no act on the MTA may touch.
	Policy = "p_policy"
	group  = "g_mail"
)

// What the services of the mail system are called in furnish/names.sh and the
// scripts around it. All listen on their own addresses only, so that they can
// share a node.
const (
	Domain = "example.test"
	Suffix = "dc=example,dc=test"

	MTAAddr4, MTAAddr6             = vip4, vip6
	DirectoryAddr4, DirectoryAddr6 = "10.77.0.51", "fd77::51"
	StoreAddr4, StoreAddr6         = "10.77.0.52", "fd77::52"
	FrontAddr4, FrontAddr6         = "10.77.0.53", "fd77::53"

	// StoreMarker shows that the mail file system is mounted.
	StoreMarker = "/srv/store/.mailha-store"

	MTAUnit       = `mailha-postfix@etc-postfix\x2dmx.service`
	DirectoryUnit = `mailha-slapd@etc-mailha\x2dldap.service`
	StoreUnit     = `mailha-dovecot@etc-dovecot\x2dstore.service`
	FrontMTAUnit  = `mailha-postfix@etc-postfix\x2dfront.service` // SMTP
	FrontUnit     = `mailha-dovecot@etc-dovecot\x2dfront.service` // IMAP, POP3 and the passwords of submission
	FrontLDAPUnit = `mailha-slapd@etc-ldap\x2dfront.service`
)
