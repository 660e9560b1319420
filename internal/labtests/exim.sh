#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Puts Exim in Postfix's place on a furnished node: one instance that relays
# everything to the sink, and tries again at once.
set -eu
export DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes
dpkg --remove --force-depends postfix postfix-ldap >/dev/null 2>&1
dpkg -i /usr/share/mailha-lab/exim/*.deb >/dev/null 2>&1
systemctl disable --quiet --now exim4-base.timer
systemctl stop exim4.service
rm -f /etc/init.d/exim4 /etc/rc?.d/*exim4 # Debian's own instance

mkdir -p /etc/exim-mx
cat >/etc/exim-mx/exim.conf <<'EOC'
spool_directory = /srv/mail/exim
log_file_path = /var/log/exim4/mx-%slog
primary_hostname = mx.example.test
exim_user = Debian-exim
exim_group = Debian-exim
acl_smtp_rcpt = acl_rcpt
host_lookup =
tls_advertise_hosts = ${if exists{/etc/exim-mx/cert.pem}{*}}
tls_certificate = /etc/exim-mx/cert.pem
tls_privatekey = /etc/exim-mx/key.pem
begin acl
acl_rcpt:
  deny recipients = nobody@elsewhere.test
  accept
begin routers
discard:
  driver = redirect
  local_parts = discard
  domains = mx.example.test
  data = :blackhole:
relay:
  driver = manualroute
  transport = smtp
  route_list = * 10.77.0.101 byname
  self = send
begin transports
smtp:
  driver = smtp
  connect_timeout = 2s
begin retry
* * F,1h,1s
EOC
echo /etc/exim-mx/exim.conf >/etc/exim4/trusted_configs
mkdir -p /etc/systemd/system/mailha-exim@.service.d
printf '[Service]\nEnvironment=QUEUE_RUNS=1s\n' >/etc/systemd/system/mailha-exim@.service.d/test.conf
systemctl daemon-reload
