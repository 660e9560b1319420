#!/bin/sh
# Adds a message store to a furnished node: an instance of Dovecot with users of its
# own, whose mailboxes are below /srv/mail/store. Their passwords are "secret".
set -eu
config=/etc/dovecot-mail
getent group vmail >/dev/null || groupadd -g 5000 vmail
getent passwd vmail >/dev/null || useradd -u 5000 -g vmail -d /nonexistent -s /usr/sbin/nologin vmail
install -d "$config" /var/lib/dovecot-mail
cat >"$config/dovecot.conf" <<EOT
instance_name = dovecot-mail
base_dir = /run/dovecot-mail
state_dir = /var/lib/dovecot-mail
protocols = imap pop3 lmtp
postmaster_address = postmaster@example.test
ssl = yes
ssl_cert = <$config/cert.pem
ssl_key = <$config/key.pem
auth_username_format = %Ln
disable_plaintext_auth = no
mail_max_userip_connections = 1000
first_valid_uid = 5000
mail_location = sdbox:~/mail
passdb {
  driver = passwd-file
  args = scheme=plain $config/users
}
userdb {
  driver = passwd-file
  args = $config/users
}
namespace inbox {
  inbox = yes
}
service lmtp {
  inet_listener lmtp {
    port = 24
  }
}
EOT
for user in u1 u2 u3 check; do echo "$user:secret:5000:5000::/srv/mail/store/$user::"; done >"$config/users"
certificate() { # DAYS
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=store.example.test \
		-days "$1" -keyout "$config/key.pem" -out "$config/cert.pem" 2>/dev/null
}
certificate 90
