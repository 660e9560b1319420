// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"embed"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mailha/mailha/internal/lab"
	"github.com/mailha/mailha/internal/traffic/account"
)

//go:embed furnish
var scripts embed.FS

// Furnish installs mailha from the lab's share on a node, and an instance of
// Postfix in /etc/postfix-mx with its queue below /srv/mail.
func Furnish(ctx context.Context, n *lab.Node) error {
	return furnish(ctx, n, "install", "mta")
}

// Install installs mailha, built from the module's directory source, on all nodes of a
// lab, and nothing else.
func Install(ctx context.Context, source string, l *lab.Lab) error {
	if err := makeInstall(ctx, source, filepath.Join(l.ShareDir(), "install")); err != nil {
		return err
	}
	return l.Each(func(n *lab.Node) error { return furnish(ctx, n, "install") })
}

// furnish runs scripts on a node in turn.
func furnish(ctx context.Context, n *lab.Node, names ...string) error {
	const dir = "/root/furnish/"
	read := []string{"names", "ldif", sharedNames} // by the others
	for _, name := range append([]string{"names", "ldif"}, names...) {
		script, err := scripts.ReadFile("furnish/" + name + ".sh")
		if err != nil {
			return err
		}
		if err := n.Push(dir+name+".sh", script, 0o755); err != nil {
			return err
		}
		if slices.Contains(read, name) {
			continue
		}
		if _, err := n.Output(ctx, dir+name+".sh"); err != nil {
			return err
		}
	}
	return nil
}

// Account is a name with its password.
type Account = account.Account

// Users gives the mail users u1 to uN. Each has a mailbox for NAME@example.test.
func Users(n int) []Account {
	var users []Account
	for i := range n {
		name := fmt.Sprintf("u%d", i+1)
		users = append(users, Account{Name: name, Password: "secret of " + name})
	}
	return users
}

// Writer may write below ou=ledger in the directory, where nobody else does.
func Writer() Account { return Account{Name: "writer", Password: "secret of the writer"} }

// Passwords gives the text of a file with a line NAME:PASSWORD for each.
func Passwords(accounts ...Account) []byte {
	var b strings.Builder
	for _, a := range accounts {
		fmt.Fprintf(&b, "%s:%s\n", a.Name, a.Password)
	}
	return []byte(b.String())
}

// FurnishSystem makes a node one of a mail system: beside what [Furnish] does
// it can run the directory, the store and the front door, and its MTA has the
// users. Nothing runs yet. The directory's replicas know each other by
// /etc/hosts.
func FurnishSystem(ctx context.Context, n *lab.Node, users []Account) error {
	return apart().furnish(ctx, n, users)
}

func (l layout) furnish(ctx context.Context, n *lab.Node, users []Account) error {
	own := []Account{Writer(), {Name: "replica", Password: "secret of the replicas"}, {Name: "mail", Password: "secret of the mail services"}}
	for path, accounts := range map[string][]Account{"/etc/mailha-lab/users": users, "/etc/mailha-lab/accounts": own} {
		if err := n.Push(path, Passwords(accounts...), 0o600); err != nil {
			return err
		}
	}
	return furnish(ctx, n, append(l.scripts, "install", "mta", "binding", "directory", "store", "mailboxes", "front")...)
}

// MakeSystemDisks makes on the shared disks what the MTA and the store keep
// there, a disk for each. No node may have them mounted.
func MakeSystemDisks(ctx context.Context, n *lab.Node) error {
	script := `set -eu; mount ` + lab.Disk(1) + ` /srv/mail; install -d /srv/mail/queue; install -d -o postfix /srv/mail/data; umount /srv/mail
mount ` + lab.Disk(2) + ` /srv/store; chown vmail:vmail /srv/store; touch ` + StoreMarker + `; umount /srv/store`
	_, err := n.Output(ctx, "sh", "-c", script)
	return err
}
