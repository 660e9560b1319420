#!/bin/sh
# Lets services bind to secondary addresses that are elsewhere at the moment:
# several of them share a node and a port, so none can have all addresses.
set -eu
cat >/etc/sysctl.d/mailha-lab.conf <<EOT
net.ipv4.ip_nonlocal_bind = 1
net.ipv6.ip_nonlocal_bind = 1
EOT
sysctl -q -p /etc/sysctl.d/mailha-lab.conf
