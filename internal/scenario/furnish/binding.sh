#!/bin/sh
# Lets services bind to secondary addresses that are elsewhere at the moment:
# several of them share a node and a port, so none can have all addresses.
set -eu
cat >/etc/sysctl.d/mailha-lab.conf <<EOT
net.ipv4.ip_nonlocal_bind = 1
net.ipv6.ip_nonlocal_bind = 1
EOT
sysctl -q -p /etc/sysctl.d/mailha-lab.conf

# The shared disks by the names that contrib/pacemaker knows them by.
cat >/etc/tmpfiles.d/mailha-lab.conf <<EOT
d /dev/disk/by-label 0755 root root
L /dev/disk/by-label/mail-queue - - - - /dev/mailha-shared
L /dev/disk/by-label/mail-store - - - - /dev/mailha-shared2
EOT
systemd-tmpfiles --create /etc/tmpfiles.d/mailha-lab.conf
