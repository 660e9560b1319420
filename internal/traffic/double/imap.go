// SPDX-License-Identifier: Apache-2.0

package double

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// IMAP is a store with one mailbox for each user, whose password is the name with "secret of " before it. Its stages
// are greeting, LOGIN, EXAMINE, FETCH, APPEND, literal, NOOP, IDLE, LOGOUT, and idle, which comes after each EXAMINE and
// each message that was stored.
type IMAP struct {
	double
	data     sync.Mutex
	validity int
	boxes    map[string][]string
}

// StartIMAP starts a store.
func StartIMAP(t *testing.T, r Reaction) *IMAP {
	t.Helper()
	d := &IMAP{double: double{reaction: r}, validity: 1, boxes: make(map[string][]string)}
	d.start(t, d.serve)
	return d
}

// Deliver puts a message into a user's mailbox.
func (d *IMAP) Deliver(user, message string) {
	d.data.Lock()
	defer d.data.Unlock()
	d.boxes[user] = append(d.boxes[user], message)
}

// Renew gives all messages new UIDs.
func (d *IMAP) Renew() {
	d.data.Lock()
	defer d.data.Unlock()
	d.validity++
}

// Messages counts those of all users.
func (d *IMAP) Messages() int {
	d.data.Lock()
	defer d.data.Unlock()
	n := 0
	for _, box := range d.boxes {
		n += len(box)
	}
	return n
}

func (d *IMAP) serve(conn *net.TCPConn, first bool) {
	if !d.at(conn, first, "greeting", "*", "* OK double\r\n") {
		return
	}
	user := ""
	for br := bufio.NewReader(conn); ; {
		line, err := br.ReadString('\n')
		if err != nil {
			return
		}
		tag, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		verb, arg, _ := strings.Cut(strings.TrimPrefix(rest, "UID "), " ")
		ok := tag + " OK " + verb + " done\r\n"
		switch verb {
		case "LOGIN":
			user = strings.Trim(strings.Fields(arg)[0], `"`)
			if !strings.HasSuffix(arg, `"secret of `+user+`"`) {
				ok = tag + " NO wrong\r\n"
			}
		case "EXAMINE":
			d.data.Lock()
			ok = fmt.Sprintf("* %d EXISTS\r\n* OK [UIDVALIDITY %d] valid\r\n", len(d.boxes[user]), d.validity) + ok
			d.data.Unlock()
		case "FETCH":
			ok = d.fetch(user, arg) + ok
		case "APPEND":
			if !d.append(conn, br, first, tag, user, arg) {
				return
			}
			continue
		case "IDLE":
			if !d.at(conn, first, verb, tag, "+ idling\r\n") {
				return
			}
			if line, err = br.ReadString('\n'); err != nil || line != "DONE\r\n" {
				return
			}
			io.WriteString(conn, ok)
			continue
		case "LOGOUT":
			d.quits.Add(1)
			ok = "* BYE double\r\n" + ok
		}
		if !d.at(conn, first, verb, tag, ok) || verb == "LOGOUT" {
			return
		}
		if verb == "EXAMINE" && !d.at(conn, first, "idle", "*", "") {
			return
		}
	}
}

// fetch gives the messages from FROM:* on, and the last one in any case.
func (d *IMAP) fetch(user, arg string) string {
	d.data.Lock()
	defer d.data.Unlock()
	from, _ := strconv.Atoi(strings.TrimSuffix(strings.Fields(arg)[0], ":*"))
	var out strings.Builder
	box := d.boxes[user]
	for i := min(from, len(box)); i >= 1 && i <= len(box); i++ {
		fmt.Fprintf(&out, "* %d FETCH (UID %d BODY[] {%d}\r\n%s)\r\n", i, i, len(box[i-1]), box[i-1])
	}
	return out.String()
}

func (d *IMAP) append(conn *net.TCPConn, br *bufio.Reader, first bool, tag, user, arg string) bool {
	size, _ := strconv.Atoi(strings.Trim(arg[strings.LastIndexByte(arg, '{'):], "{}"))
	if !d.at(conn, first, "APPEND", tag, "+ go\r\n") {
		return false
	}
	if first && d.reaction.Stage == "APPEND" && !strings.HasPrefix(d.reaction.Say, "+") {
		return true // the client does not send the literal
	}
	message := make([]byte, size)
	if _, err := io.ReadFull(br, message); err != nil {
		return false
	}
	if line, err := br.ReadString('\n'); err != nil || line != "\r\n" {
		return false
	}
	if first && d.reaction.Stage == "literal" {
		return d.at(conn, first, "literal", tag, "")
	}
	d.Deliver(user, string(message))
	_, err := io.WriteString(conn, tag+" OK stored\r\n")
	return err == nil && d.at(conn, first, "idle", "*", "")
}
