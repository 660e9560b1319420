#!/bin/sh
# The MTA: an instance of Postfix that relays everything to the sink. Its queue
# is on the shared disk, its configuration is the same on every node.
set -eu
mkdir -p /etc/postfix-mx /srv/mail/queue
install -d -o postfix /srv/mail/data # for a queue on the node's own disk
cp /etc/postfix/dynamicmaps.cf /etc/postfix-mx/
# Not in a chroot: that would have to be filled on the shared disk.
sed 's/^\(\S\+\s\+\S\+\s\+\S\+\s\+\S\+\s\+\)y/\1n/' /etc/postfix/master.cf >/etc/postfix-mx/master.cf
cat >/etc/postfix-mx/main.cf <<EOF
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
minimal_backoff_time = 5s
queue_run_delay = 5s
maillog_file = /var/log/postfix-mx.log
local_recipient_maps =
alias_maps =
alias_database =
EOF
# The neighbours' agent asks for this.
postconf -e alternate_config_directories=/etc/postfix-mx
