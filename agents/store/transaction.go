// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/probe"
)

// tester is the user whose mailbox is for tests alone.
type tester struct {
	user     agents.Text
	password agents.Path
	master   agents.Text
}

func (t *tester) params() agents.Table {
	return agents.Table{
		{Name: "check_user", Value: &t.user, Reloadable: true,
			Short: "User whose mailbox a monitor at depth 20 tests",
			Long:  "A message is delivered to this address by LMTP, found by IMAP, read and removed. The user must be there for this alone. Without one, depth 20 is the same as depth 10."},
		{Name: "check_password_file", Value: &t.password, Reloadable: true,
			Short: "File with the password for check_user",
			Long:  "One line. It must belong to root and be readable to nobody else (mode 0600), on every node."},
		{Name: "check_master", Value: &t.master, Reloadable: true,
			Short: "Master user who logs in for check_user",
			Long:  "Then the password is this one's. Empty means that check_user logs in himself."},
	}
}

// check reports what is wrong with the parameters by themselves.
func (t *tester) check() error {
	missing := errors.New("needs check_user and check_password_file")
	switch {
	case t.user != "" && t.password == "":
		return &agents.ParamError{Name: "check_user", Text: string(t.user), Err: missing}
	case t.user == "" && t.master != "":
		return &agents.ParamError{Name: "check_master", Text: string(t.master), Err: missing}
	case strings.ContainsAny(string(t.user), "<> "):
		return &agents.ParamError{Name: "check_user", Text: string(t.user), Err: errors.New("is no address")}
	}
	return nil
}

// secret reads the password.
func (t *tester) secret() (string, error) {
	path := string(t.password)
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", fmt.Errorf("check_password_file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("check_password_file: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() || int(st.Uid) != os.Geteuid() || info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("check_password_file: %s must be a plain file of root's, with mode 0600", path)
	}
	const most = 1 << 10
	line := make([]byte, most)
	n, err := f.Read(line)
	if err != nil {
		return "", fmt.Errorf("check_password_file: %s is empty, or cannot be read: %w", path, err)
	}
	password, _, _ := strings.Cut(string(line[:n]), "\n")
	return strings.TrimSuffix(password, "\r"), nil
}

const checkHeader = "X-Mailha-Check"

// transaction delivers a message, and has it found, read and removed by IMAP. What
// keeps the test from being made is no failure of the store: it wraps
// [agents.ErrDegraded].
func (a *agent) transaction(ctx context.Context, f agents.Facts) error {
	untested := func(err error) error { return fmt.Errorf("%w: the store is not tested: %w", agents.ErrDegraded, err) }
	password, err := a.tester.secret()
	if err != nil {
		return untested(err)
	}
	in, mailboxes := doorOf(f.Doors, lmtp), doorOf(f.Doors, imap)
	if in == nil || mailboxes == nil {
		return untested(errors.New("depth 20 needs LMTP and IMAP, which the clients of a proxy alone cannot do"))
	}
	if err := a.testsHere(ctx, f); errors.Is(err, errNow) {
		return err
	} else if err != nil {
		return untested(err)
	}
	at := a.Target(f)
	token := rand.Text()
	if err := deliver(ctx, *in, at, string(a.tester.user), testMessage(string(a.tester.user), token)); err != nil {
		if refusal := (*probe.Refusal)(nil); errors.As(err, &refusal) && refusal.Code == 550 {
			return untested(err) // there is no such user
		}
		if full := agents.Full(f.DataDir); full != nil {
			return untested(fmt.Errorf("%w; %w", full, err)) // a restart, here or elsewhere, would only keep readers out
		}
		return err
	}
	err = a.readBack(ctx, *mailboxes, at, password, token)
	if err != nil && strings.Contains(err.Error(), "[AUTHENTICATIONFAILED]") {
		return untested(fmt.Errorf("does the password file fit? %w", err))
	}
	return err
}

// testsHere sees that the test mailbox is among the others: Dovecot would make it
// wherever the user's data say, and a test there would prove nothing.
func (a *agent) testsHere(ctx context.Context, f agents.Facts) error {
	out, err := a.doveadm(ctx, "mailbox", "path", "-u", string(a.tester.user), "INBOX")
	if err != nil {
		return fmt.Errorf("ask for the mailbox of %s: %w", a.tester.user, err)
	}
	if inbox := strings.TrimSpace(out); !isIn(resolved(inbox), resolved(f.DataDir)) {
		return fmt.Errorf("the mailbox of %s is in %s, not below %s", a.tester.user, inbox, f.DataDir)
	}
	return nil
}

// doorOf is a door by which a test can come in, rather one without TLS: a test comes
// from this very node.
func doorOf(doors []agents.Door, protocol string) *agents.Door {
	fits := func(tls bool) func(agents.Door) bool {
		return func(d agents.Door) bool {
			return d.Protocol == protocol && !d.Mute && (d.TLS == string(probe.Implicit)) == tls
		}
	}
	for _, tls := range []bool{false, true} {
		if i := slices.IndexFunc(doors, fits(tls)); i >= 0 {
			return &doors[i]
		}
	}
	return nil
}

func testMessage(to, token string) string {
	return fmt.Sprintf("From: <>\r\nTo: <%s>\r\nDate: %s\r\nMessage-ID: <%s@monitor.invalid>\r\nSubject: health check\r\nAuto-Submitted: auto-generated\r\n%s: %[3]s\r\n\r\nSent by the cluster to see that mail is kept.\r\n%[3]s\r\n",
		to, time.Now().Format(time.RFC1123Z), token, checkHeader)
}

func deliver(ctx context.Context, d agents.Door, at netip.Addr, to, message string) error {
	l, err := probe.DialLMTP(ctx, targetOf(d, at))
	if err != nil {
		return err
	}
	defer l.Close()
	if err := l.Deliver(to, message); err != nil {
		return err
	}
	return l.Quit()
}

// readBack also removes what earlier tests may have left.
func (a *agent) readBack(ctx context.Context, d agents.Door, at netip.Addr, password, token string) error {
	t := targetOf(d, at)
	if t.TLS == probe.None {
		t.TLS = probe.TLS(d.TLS) // STARTTLS, if it is there
	}
	m, err := probe.DialIMAP(ctx, t)
	if err != nil {
		return err
	}
	defer m.Close()
	user, as := string(a.tester.user), ""
	if a.tester.master != "" {
		user, as = string(a.tester.master), user
	}
	if err := m.Login(user, password, as); err != nil {
		return err
	}
	if err := m.Select("INBOX"); err != nil {
		return err
	}
	found, err := m.Search(checkHeader, token)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("the test message was taken by LMTP, but is not in the INBOX of %s", a.tester.user)
	}
	text, err := m.Fetch(found[0])
	if err != nil {
		return err
	}
	if !bytes.HasSuffix(bytes.TrimSpace(text), []byte(token)) {
		return fmt.Errorf("the test message in the INBOX of %s is not what was delivered", a.tester.user)
	}
	all, err := m.Search(checkHeader, "")
	if err != nil {
		return err
	}
	if err := m.Delete(all); err != nil {
		return err
	}
	return m.Logout()
}
