#!/bin/sh
# The front door: what clients outside talk to. It passes SMTP on to the MTA
# before it answers for a message, IMAP and POP3 to the store and LDAP to the
# directory. What users submit goes through a queue of its own.
set -eu
. "${0%/*}/names.sh"
. "${0%/*}/ldif.sh"

# SMTP and submission.
config=/etc/postfix-front
install -d "$config" /srv/front/queue
install -d -o postfix /srv/front/data
cp /etc/postfix/dynamicmaps.cf "$config/"
sed 's/^\(\S\+\s\+\S\+\s\+\S\+\s\+\S\+\s\+\)y/\1n/; /^smtp\s\+inet/d' /etc/postfix/master.cf >"$config/master.cf"
cat >>"$config/master.cf" <<EOT
smtp       inet  n       -       n       -       -       smtpd
    -o smtpd_proxy_filter=[$mta4]:$mta_port
submission inet  n       -       n       -       -       smtpd
    -o smtpd_sasl_auth_enable=yes
    -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
EOT
cat >"$config/main.cf" <<EOT
compatibility_level = 3.6
queue_directory = /srv/front/queue
data_directory = /srv/front/data
multi_instance_name = postfix-front
multi_instance_enable = yes
myhostname = front.$domain
mydestination = \$myhostname
inet_interfaces = $front4, $front6
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_sasl_type = dovecot
smtpd_sasl_path = /run/dovecot-front/auth-smtp
relay_domains = $domain
transport_maps = inline:{$domain=smtp:[$mta4]:$mta_port}
relayhost = [$sink4]
smtp_bind_address = $front4
smtp_bind_address6 = $front6
smtp_bind_address_enforce = yes
smtp_connect_timeout = 3s
minimal_backoff_time = 5s
maximal_backoff_time = 20s
queue_run_delay = 5s
transport_retry_time = 5s
maillog_file = /var/log/postfix-front.log
local_recipient_maps =
alias_maps =
alias_database =
EOT

# IMAP and POP3.
config=/etc/dovecot-front
install -d "$config" /var/lib/dovecot-front
cat >"$config/dovecot.conf" <<EOT
instance_name = dovecot-front
base_dir = /run/dovecot-front
state_dir = /var/lib/dovecot-front
listen = $front4, $front6
protocols = imap pop3
ssl = no
disable_plaintext_auth = no
auth_username_format = %Ln
mail_max_userip_connections = 1000
protocol !smtp {
  passdb {
    driver = static
    args = nopassword=y proxy=y host=$store4 port=%{if;%Ls;eq;pop3;$store_pop3;$store_imap}
  }
}
protocol smtp {
  passdb {
    driver = ldap
    args = $config/ldap.conf
  }
}
service imap-login {
  service_count = 0
  client_limit = 1000
}
service pop3-login {
  service_count = 0
  client_limit = 1000
}
service auth {
  unix_listener auth-smtp {
    user = postfix
    mode = 0600
  }
}
EOT
install -m 0600 /dev/null "$config/ldap.conf"
cat >"$config/ldap.conf" <<EOT
uris = ldap://$directory4
base = ou=people,$suffix
auth_bind = yes
auth_bind_userdn = uid=%n,ou=people,$suffix
EOT

# LDAP.
config=/etc/ldap-front run=/run/mailha-slapd
rm -rf "$config"
install -d -o openldap -g openldap -m 0750 "$config"
cat >"$config.env" <<EOT
SLAPD_SERVICES="ldap://$front4 ldap://[$front6] ldapi://$(echo "$run/ldap-front.ldapi" | sed 's/\//%2F/g')"
EOT
work=$(mktemp)
trap 'rm -f "$work"' EXIT
{
	server "$run/ldap-front.pid" back_ldap </dev/null
	cat <<EOT
dn: olcDatabase={1}ldap,cn=config
objectClass: olcDatabaseConfig
objectClass: olcLDAPConfig
olcDatabase: {1}ldap
olcSuffix: $suffix
olcDbURI: ldap://$directory4
olcDbRebindAsUser: TRUE
olcDbNetworkTimeout: 3
olcDbKeepalive: 5:3:2
EOT
	monitor
} >"$work"
slapadd -n 0 -F "$config" -l "$work"
chown -R openldap:openldap "$config"
