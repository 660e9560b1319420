// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// IMAP is the client's side of one IMAP session: RFC 9051.
type IMAP struct {
	*conn
	tag    int
	offers []string
}

// DialIMAP returns once the server has greeted and told its capabilities.
func DialIMAP(ctx context.Context, t Target) (*IMAP, error) {
	c, err := dial(ctx, "IMAP", t)
	if err != nil {
		return nil, err
	}
	m := &IMAP{conn: c}
	err = m.greet(ctx)
	if err == nil {
		err = m.begun(ctx)
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

func (m *IMAP) greet(ctx context.Context) error {
	r, err := m.response()
	if err != nil {
		return m.failed("greeting", err)
	}
	if _, ok := r.untagged("OK"); !ok {
		return m.failed("greeting", fmt.Errorf("%q", r.text))
	}
	if m.target.TLS == StartTLS {
		if _, err := m.command("STARTTLS", "STARTTLS"); err != nil {
			return err
		}
		if err := m.encrypt(ctx); err != nil {
			return err
		}
	}
	return m.capability()
}

func (m *IMAP) capability() error {
	rs, err := m.command("CAPABILITY", "CAPABILITY")
	if err != nil {
		return err
	}
	m.offers = nil
	for _, r := range rs {
		if rest, ok := r.untagged("CAPABILITY"); ok {
			m.offers = append(m.offers, strings.Fields(strings.ToUpper(rest))...)
		}
	}
	if !m.Offers("IMAP4rev1") && !m.Offers("IMAP4rev2") {
		return m.failed("CAPABILITY", fmt.Errorf("neither IMAP4rev1 nor IMAP4rev2 in %q", m.offers))
	}
	return nil
}

// Offers says whether the server has a capability.
func (m *IMAP) Offers(capability string) bool {
	return slices.Contains(m.offers, strings.ToUpper(capability))
}

// command sends one and returns the untagged responses to it. The step is what an
// error calls it.
func (m *IMAP) command(step, line string) ([]response, error) {
	m.tag++
	if err := m.write(fmt.Sprintf("m%d %s\r\n", m.tag, line)); err != nil {
		return nil, m.failed(step, err)
	}
	return m.result(step)
}

// result reads up to the tagged response.
func (m *IMAP) result(step string) ([]response, error) {
	const most = 1000
	var rs []response
	for range most {
		r, err := m.response()
		if err != nil {
			return nil, m.failed(step, errors.Join(err, lastWords(rs)))
		}
		rest, tagged := strings.CutPrefix(r.text, "m"+strconv.Itoa(m.tag)+" ")
		if !tagged {
			rs = append(rs, r)
			continue
		}
		if status, _, _ := strings.Cut(rest, " "); !strings.EqualFold(status, "OK") {
			return nil, m.failed(step, fmt.Errorf("%q", rest))
		}
		return append(rs, response{text: rest}), nil
	}
	return nil, m.failed(step, fmt.Errorf("more than %d responses", most))
}

// lastWords is why the server has ended the session, if it said so.
func lastWords(rs []response) error {
	for _, r := range rs {
		if text, ok := r.untagged("BYE"); ok {
			return fmt.Errorf("the server said BYE %s", text)
		}
	}
	return nil
}

// Login authenticates by SASL's PLAIN: RFC 4616. As is another user's name, if the
// one who logs in may act for him; otherwise it is empty.
func (m *IMAP) Login(user, password, as string) error {
	const step = "AUTHENTICATE"
	if user == "" || strings.ContainsRune(user+password+as, 0) {
		return m.failed(step, errors.New("a name is empty, or something has a zero byte in it"))
	}
	secret := base64.StdEncoding.EncodeToString([]byte(as + "\x00" + user + "\x00" + password))
	if m.Offers("SASL-IR") {
		_, err := m.command(step, "AUTHENTICATE PLAIN "+secret)
		return err
	}
	m.tag++
	if err := m.write(fmt.Sprintf("m%d AUTHENTICATE PLAIN\r\n", m.tag)); err != nil {
		return m.failed(step, err)
	}
	r, err := m.response()
	if err != nil {
		return m.failed(step, err)
	}
	if !strings.HasPrefix(r.text, "+") {
		return m.failed(step, fmt.Errorf("%q", r.text))
	}
	if err := m.write(secret + "\r\n"); err != nil {
		return m.failed(step, err)
	}
	_, err = m.result(step)
	return err
}

// Select opens a mailbox for reading and writing.
func (m *IMAP) Select(mailbox string) error {
	name, err := quoted(mailbox)
	if err != nil {
		return m.failed("SELECT", err)
	}
	rs, err := m.command("SELECT", "SELECT "+name)
	if err != nil {
		return err
	}
	if last := rs[len(rs)-1].text; strings.Contains(strings.ToUpper(last), "[READ-ONLY]") {
		return m.failed("SELECT", fmt.Errorf("%q", last))
	}
	return nil
}

// Search finds the messages of the mailbox whose header field has the text in it,
// by UID.
func (m *IMAP) Search(field, text string) ([]uint32, error) {
	q, err := quoted(text)
	if err != nil {
		return nil, m.failed("SEARCH", err)
	}
	rs, err := m.command("SEARCH", "UID SEARCH HEADER "+field+" "+q)
	if err != nil {
		return nil, err
	}
	var found []uint32
	for _, r := range rs {
		if rest, ok := r.untagged("SEARCH"); ok {
			uids, err := numbers(rest)
			if err != nil {
				return nil, m.failed("SEARCH", err)
			}
			found = append(found, uids...)
		}
	}
	return found, nil
}

// Fetch reads a message, without a trace in its flags.
func (m *IMAP) Fetch(uid uint32) ([]byte, error) {
	rs, err := m.command("FETCH", fmt.Sprintf("UID FETCH %d (BODY.PEEK[])", uid))
	if err != nil {
		return nil, err
	}
	for _, r := range rs {
		if len(r.literals) == 1 && strings.Contains(strings.ToUpper(r.text), "FETCH (") {
			return r.literals[0], nil
		}
	}
	return nil, m.failed("FETCH", fmt.Errorf("no text of message %d", uid))
}

// Delete removes messages for good, and no others that may be marked for it (UID
// EXPUNGE, RFC 4315).
func (m *IMAP) Delete(uids []uint32) error {
	if len(uids) == 0 {
		return nil
	}
	texts := make([]string, len(uids))
	for i, uid := range uids {
		texts[i] = strconv.FormatUint(uint64(uid), 10)
	}
	set := strings.Join(texts, ",")
	if _, err := m.command("STORE", "UID STORE "+set+` +FLAGS.SILENT (\Deleted)`); err != nil {
		return err
	}
	_, err := m.command("EXPUNGE", "UID EXPUNGE "+set)
	return err
}

// Logout ends the session politely.
func (m *IMAP) Logout() error {
	_, err := m.command("LOGOUT", "LOGOUT")
	return err
}
