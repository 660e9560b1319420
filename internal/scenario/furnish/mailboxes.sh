#!/bin/sh
# Gives the MTA the users of the directory, and the store to deliver to. While
# the directory is down it takes nothing and loses nothing: all answers are 4xx.
set -eu
. "${0%/*}/names.sh"
config=/etc/postfix-mx
install -m 0640 -g postfix /dev/null "$config/users.cf"
cat >"$config/users.cf" <<EOT
server_host = ldap://$directory4
version = 3
timeout = 5
bind = yes
bind_dn = cn=mail,$suffix
bind_pw = $(password "$accounts" mail)
search_base = ou=people,$suffix
scope = one
query_filter = (&(objectClass=posixAccount)(mail=%s))
result_attribute = uid
EOT
sed -i "s/^smtp\( \+inet\)/$mta_port\1/" "$config/master.cf"
postconf -c "$config" -e "inet_interfaces = $mta4, $mta6" \
	"virtual_mailbox_domains = $domain" "virtual_mailbox_maps = proxy:ldap:$config/users.cf" \
	"virtual_transport = lmtp:inet:[$store4]:24" \
	"virtual_alias_maps = inline:{double-bounce@front.$domain=double-bounce@mx.$domain}" \
	"smtp_connect_timeout = 3s" "lmtp_connect_timeout = 3s" \
	"transport_retry_time = 5s" "maximal_backoff_time = 20s"
