#!/bin/sh
# Prepares a node: installs mailha, one instance of Postfix that relays to the
# sink, and a few units to run as services.
set -eu
cp -a /lab/install/. /

mkdir -p /etc/postfix-mx /srv/mail/queue
install -d -o postfix /srv/mail/data # on the node's own disk, unless another is mounted over it
cp /etc/postfix/dynamicmaps.cf /etc/postfix-mx/
# Not in a chroot: that would have to be filled on the shared disk.
sed 's/^\(\S\+\s\+\S\+\s\+\S\+\s\+\S\+\s\+\S\+\s\+\)y/\1n/' /etc/postfix/master.cf >/etc/postfix-mx/master.cf
cat >/etc/postfix-mx/main.cf <<EOC
compatibility_level = 3.6
queue_directory = /srv/mail/queue
data_directory = /srv/mail/data
multi_instance_name = postfix-mx
multi_instance_enable = yes
myhostname = mx.example.test
mydestination = \$myhostname
inet_interfaces = all
mynetworks = 10.77.0.0/24 [fd77::]/64 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
relayhost = [10.77.0.101]
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
smtp_connect_timeout = 2s
maillog_file = /var/log/postfix-mx.log
local_recipient_maps =
alias_maps =
alias_database =
EOC

echo 'POSTGREY_OPTS="--inet=0.0.0.0:10023"' >/etc/default/postgrey

unit() { # NAME LINES...
	{
		echo "[Unit]"
		echo "Description=$1 of the tests"
		echo "[Service]"
		shift
		printf '%s\n' "$@"
	} >"/etc/systemd/system/$1.service"
}
# Listens, and does nothing else. If deaf, it ignores SIGTERM, and so does its child.
cat >/usr/local/bin/listener <<'EOC'
#!/usr/bin/python3
import os, signal, socket, sys
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        while True:
            signal.pause()
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("", 7001))
s.listen()
while True:
    signal.pause()
EOC
chmod 755 /usr/local/bin/listener
unit plain ExecStart=/usr/local/bin/listener
unit deaf "ExecStart=/usr/local/bin/listener deaf" TimeoutStopSec=infinity
unit slowstart "ExecStartPre=/bin/sleep 300" ExecStart=/usr/local/bin/listener TimeoutStartSec=infinity
unit slowstop ExecStart=/usr/local/bin/listener "ExecStop=/bin/sleep 300" TimeoutStopSec=infinity
unit phoenix ExecStart=/usr/local/bin/listener Restart=always RestartSec=300ms
ln -s /dev/null /etc/systemd/system/masked.service
systemctl daemon-reload
