#!/bin/sh
# The store: Dovecot with the mailboxes on the shared disk. It asks the
# directory who the users are.
set -eu
. "${0%/*}/names.sh"
config=/etc/dovecot-store
getent group vmail >/dev/null || groupadd -g 5000 vmail
getent passwd vmail >/dev/null || useradd -u 5000 -g vmail -d /nonexistent -s /usr/sbin/nologin vmail
install -d "$config" /var/lib/dovecot-store
install -d /srv/store # where the disk with the mailboxes is mounted

cat >"$config/dovecot.conf" <<EOT
instance_name = dovecot-store
base_dir = /run/dovecot-store
state_dir = /var/lib/dovecot-store
listen = $store4, $store6
protocols = imap pop3 lmtp
postmaster_address = postmaster@$domain
ssl = no
disable_plaintext_auth = no
auth_username_format = %Ln
login_trusted_networks = 10.77.0.0/24 fd77::/64
mail_location = sdbox:~/mail
mail_max_userip_connections = 1000
first_valid_uid = 5000
last_valid_uid = 5000
passdb {
  driver = ldap
  args = $config/ldap.conf
}
userdb {
  driver = ldap
  args = $config/ldap.conf
}
namespace inbox {
  inbox = yes
}
service imap-login {
  inet_listener imap {
    port = $store_imap
  }
}
service pop3-login {
  inet_listener pop3 {
    port = $store_pop3
  }
}
service lmtp {
  inet_listener lmtp {
    port = 24
  }
}
EOT
install -m 0600 /dev/null "$config/ldap.conf"
cat >"$config/ldap.conf" <<EOT
uris = ldap://$directory4
dn = cn=mail,$suffix
dnpass = $(password "$accounts" mail)
base = ou=people,$suffix
scope = onelevel
auth_bind = yes
auth_bind_userdn = uid=%n,ou=people,$suffix
pass_filter = (&(objectClass=posixAccount)(uid=%n))
user_filter = (&(objectClass=posixAccount)(uid=%n))
user_attrs = homeDirectory=home,uidNumber=uid,gidNumber=gid
iterate_attrs = uid=user
iterate_filter = (objectClass=posixAccount)
EOT
