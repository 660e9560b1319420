#!/bin/sh
# Adds to a furnished node what the tests need: a Postfix that tries again at
# once, and a few units to run as services.
set -eu
postconf -c /etc/postfix-mx -e minimal_backoff_time=1s maximal_backoff_time=2s queue_run_delay=1s smtp_connect_timeout=2s

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
