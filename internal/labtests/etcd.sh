#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs Debian's etcd on a node, as one who has it already would: a member of three, with
# certificates of an authority of its own. $1 is the node's address, $2 its number.
set -eu
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d # do not start what is installed
chmod 755 /usr/sbin/policy-rc.d
dpkg -i /usr/share/mailha-lab/etcd/*.deb >/dev/null
chown -R etcd: /etc/etcd-tls
cat >/etc/default/etcd <<EOC
ETCD_NAME=own$2
ETCD_LISTEN_CLIENT_URLS=https://$1:2379
ETCD_ADVERTISE_CLIENT_URLS=https://$1:2379
ETCD_LISTEN_PEER_URLS=https://$1:2380
ETCD_INITIAL_ADVERTISE_PEER_URLS=https://$1:2380
ETCD_INITIAL_CLUSTER=own1=https://10.77.0.11:2380,own2=https://10.77.0.12:2380,own3=https://10.77.0.13:2380
ETCD_CLIENT_CERT_AUTH=true
ETCD_TRUSTED_CA_FILE=/etc/etcd-tls/ca.pem
ETCD_CERT_FILE=/etc/etcd-tls/server.pem
ETCD_KEY_FILE=/etc/etcd-tls/server.key
ETCD_PEER_CLIENT_CERT_AUTH=true
ETCD_PEER_TRUSTED_CA_FILE=/etc/etcd-tls/ca.pem
ETCD_PEER_CERT_FILE=/etc/etcd-tls/server.pem
ETCD_PEER_KEY_FILE=/etc/etcd-tls/server.key
EOC
systemctl start --no-block etcd # each waits for another one
