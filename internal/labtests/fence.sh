#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Debian's fence agents, and a management board (BMC) of OpenIPMI's with a process for
# its computer: one that hears no SIGTERM, as a machine that hangs. With /etc/bmc/deaf
# the board does what boards do that are too busy: it says yes and does nothing.
set -eu
dpkg --force-depends -i /usr/share/mailha-lab/fence/*.deb >/dev/null

install -d /etc/bmc /var/lib/bmc
cat >/etc/bmc/lan.conf <<'CONF'
name "bmc"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 9001
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  user 1 true "" "" user 10
  user 2 true "admin" "hunter2" admin 10
  chassis_control "/etc/bmc/chassis 0x20"
CONF
printf 'mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n' >/etc/bmc/bmc.emu
# The board calls this as: ADDRESS get NAME... or ADDRESS set NAME VALUE...
cat >/etc/bmc/chassis <<'PROGRAM'
#!/bin/sh
shift
op=$1
shift
runs() { systemctl -q is-active computer; }
while [ $# -gt 0 ]; do
	name=$1
	shift
	case $op:$name in
	get:power) runs && echo power:1 || echo power:0 ;;
	get:*) echo "$name:0" ;;
	set:power)
		case $1 in
		0) test -e /etc/bmc/deaf || systemctl kill -s KILL computer ;;
		*) systemctl start computer ;;
		esac
		shift
		;;
	set:*) shift ;;
	esac
done
PROGRAM
chmod 755 /etc/bmc/chassis
cat >/etc/systemd/system/computer.service <<'UNIT'
[Service]
ExecStart=/bin/sh -c "trap '' TERM; while :; do sleep 0.1; done"
UNIT
cat >/etc/systemd/system/bmc.service <<'UNIT'
[Service]
ExecStart=/usr/bin/ipmi_sim -n -c /etc/bmc/lan.conf -f /etc/bmc/bmc.emu -s /var/lib/bmc
UNIT
systemctl daemon-reload
systemctl start bmc computer
