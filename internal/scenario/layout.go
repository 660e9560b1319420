// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"path/filepath"
	"strings"
)

// layout says where the services of a mail system are reached: the addresses, and
// the ports that are not the usual ones everywhere.
type layout struct {
	scripts []string // that furnish the nodes for it, before all others

	mta, directory, store, front string
	mtaSMTP, storeIMAP           string
}

const sharedNames = "shared"

// apart has an address for each service.
func apart() layout {
	return layout{
		mta: MTAAddr4, directory: DirectoryAddr4, store: StoreAddr4, front: FrontAddr4,
		mtaSMTP: smtpPort, storeIMAP: imapPort,
	}
}

// together has one address, and what is behind the front door has other ports.
func together() layout {
	return layout{
		scripts: []string{sharedNames},
		mta:     vip4, directory: vip4, store: vip4, front: vip4,
		mtaSMTP: ":10025", storeIMAP: ":10143",
	}
}

// layoutOf is what a file below contrib wants.
func layoutOf(shape string) layout {
	if strings.HasPrefix(filepath.Base(shape), "shared-address.") {
		return together()
	}
	return apart()
}
