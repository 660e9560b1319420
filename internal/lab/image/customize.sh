#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes a bare Debian root, given as $1, the base of a test node: it boots in
# well under a second, and no service of a package starts by itself.
set -eu
root=$1

# Packages that a node cannot have from the start: Exim takes Postfix's place, INN
# wants the node's full name, and etcd its peers. A test installs them with dpkg -i.
pool() { # NAME PACKAGE...
	mkdir -p "$root/usr/share/mailha-lab/$1"
	cd "$root/usr/share/mailha-lab/$1"
	shift
	APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -qq -o APT::Sandbox::User=root download "$@"
	cd /
}
pool exim exim4-base exim4-config exim4-daemon-light libidn12 libgnutls-dane0 libunbound8 libevent-2.1-7
pool inn inn2 inn2-inews libcanlock3 libpython3.11 time cron cron-daemon-common libconvert-binhex-perl libtimedate-perl \
	libmailtools-perl libmime-tools-perl libnet-smtp-ssl-perl libio-socket-ssl-perl libnet-ssleay-perl perl-openssl-defaults

pool etcd etcd-server
# Fence agents, and a management board to try one on. Of what they depend on, the clients
# of clouds are left out: dpkg --force-depends.
pool fence fence-agents python3-pexpect python3-ptyprocess ipmitool libfreeipmi17 freeipmi-common openipmi libpopt0

# No package's service is enabled, be it a unit or an init script.
rm -rf "$root"/etc/systemd/system/*.wants "$root"/etc/rc[2-5S].d/S*

mask() { # what starts whether enabled or not
	for unit; do
		ln -sf /dev/null "$root/etc/systemd/system/$unit"
	done
}
mask console-getty.service systemd-logind.service systemd-networkd-wait-online.service \
	systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-pstore.service \
	systemd-resolved.service systemd-timesyncd.service

# The wire comes as host0 from systemd-nspawn; a node knows it as eth0.
mkdir -p "$root/usr/lib/mailha-lab" "$root/etc/mailha-lab"
cat >"$root/usr/lib/mailha-lab/network" <<'EOF'
#!/bin/sh
set -eu
ip link set host0 name eth0
for addr in $(cat /etc/mailha-lab/addr); do
	case $addr in
	*:*) ip addr add "$addr" dev eth0 nodad ;;
	*) ip addr add "$addr" broadcast + dev eth0 ;;
	esac
done
ip link set eth0 up
EOF
chmod 755 "$root/usr/lib/mailha-lab/network"
cat >"$root/etc/systemd/system/mailha-lab-network.service" <<'EOF'
[Unit]
Description=Network of a test node
DefaultDependencies=no
After=systemd-remount-fs.service
Before=network-pre.target network.target basic.target
Wants=network-pre.target network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/lib/mailha-lab/network
EOF
mkdir -p "$root/etc/systemd/system/basic.target.wants"
ln -sf ../mailha-lab-network.service "$root/etc/systemd/system/basic.target.wants/"

# Journals outlive a power cut, so that they can be read afterwards.
mkdir -p "$root/var/log/journal" "$root/etc/systemd/journald.conf.d"
printf '[Journal]\nStorage=persistent\nSystemMaxUse=64M\nRateLimitIntervalSec=0\n' \
	>"$root/etc/systemd/journald.conf.d/mailha-lab.conf"

mkdir -p "$root/lab"
touch "$root/usr/sbin/fence_lab" # systemd-nspawn mounts the program here
chmod 755 "$root/usr/sbin/fence_lab"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
: >"$root/etc/machine-id"
: >"$root/etc/resolv.conf"
