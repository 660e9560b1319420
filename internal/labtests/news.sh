#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Puts INN on a furnished node, as contrib/pacemaker/news.crm wants it.
set -eu
export DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes
sed -i "s/ $(hostname)\$/ $(hostname).example.test $(hostname)/" /etc/hosts # INN wants a name with a domain
# Twice: some packages want others to be configured before they are unpacked.
dpkg -i /usr/share/mailha-lab/inn/*.deb >/dev/null 2>&1 || dpkg -i /usr/share/mailha-lab/inn/*.deb >/dev/null 2>&1
systemctl stop inn2.service cron.service
rm -f /etc/init.d/inn2 /etc/systemd/system/multi-user.target.wants/inn2.service /etc/systemd/system/multi-user.target.wants/cron.service

sed -i 's/^#domain:.*/domain: example.test/; s/^pathhost:.*/pathhost: news.example.test/
	s|/var/lib/news|/srv/news/db|; s|/var/spool/news|/srv/news/spool|
	s/^nnrpdloadlimit:.*/nnrpdloadlimit: 0/' /etc/news/inn.conf # the load is that of all tests
mkdir -p /srv/news /etc/systemd/system/inn2.service.d
cp /root/contrib/systemd/inn2.service.d/mailha.conf /etc/systemd/system/inn2.service.d/
systemctl daemon-reload
