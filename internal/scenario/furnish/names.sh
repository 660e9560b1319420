# What the services of the mail system call each other. Each has secondary
# addresses of its own, and each node has all of the services' configuration.
domain=example.test
suffix=dc=example,dc=test
mta4=10.77.0.50 mta6=fd77::50
directory4=10.77.0.51 directory6=fd77::51
store4=10.77.0.52 store6=fd77::52
front4=10.77.0.53 front6=fd77::53
sink4=10.77.0.101
mta_port=smtp store_imap=143 store_pop3=110 # behind the front door

# Behind one address for everything each service has ports of its own.
if test -e "${0%/*}/shared.sh"; then
	. "${0%/*}/shared.sh"
fi

# Lines of NAME:PASSWORD, of the mail users and of the directory's own accounts.
users=/etc/mailha-lab/users
accounts=/etc/mailha-lab/accounts

password() { # FILE NAME
	sed -n "s/^$2://p" "$1"
}
