# All services on the address of the MTA.
directory4=$mta4 directory6=$mta6
store4=$mta4 store6=$mta6
front4=$mta4 front6=$mta6
mta_port=10025 store_imap=10143 store_pop3=10110
