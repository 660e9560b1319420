// SPDX-License-Identifier: Apache-2.0

package double

import (
	"bufio"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// SMTP is a server that takes everything. Its stages are greeting, the commands' names, body, which comes with the
// first line of a message, dot, and idle, which comes after it.
type SMTP struct {
	double
	messages atomic.Int32
}

// StartSMTP starts a server.
func StartSMTP(t *testing.T, r Reaction) *SMTP {
	t.Helper()
	d := &SMTP{double: double{reaction: r}}
	d.start(t, d.serve)
	return d
}

// Messages counts those that were taken.
func (d *SMTP) Messages() int { return int(d.messages.Load()) }

func (d *SMTP) serve(conn *net.TCPConn, first bool) {
	if !d.at(conn, first, "greeting", "", "220 double\r\n") {
		return
	}
	for br := bufio.NewReader(conn); ; {
		line, err := br.ReadString('\n')
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		say := "250 ok\r\n"
		switch verb {
		case "DATA":
			say = "354 go\r\n"
		case "QUIT":
			d.quits.Add(1)
			say = "221 bye\r\n"
		}
		if !d.at(conn, first, verb, "", say) || verb == "QUIT" {
			return
		}
		if verb == "DATA" && !(first && d.reaction.Stage == "DATA") && !d.data(conn, br, first) {
			return
		}
	}
}

func (d *SMTP) data(conn *net.TCPConn, br *bufio.Reader, first bool) bool {
	for began := false; ; began = true {
		line, err := br.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		if !began && !d.at(conn, first, "body", "", "") {
			return false
		}
	}
	if !first || d.reaction.Stage != "dot" {
		d.messages.Add(1)
	}
	return d.at(conn, first, "dot", "", "250 taken\r\n") && d.at(conn, first, "idle", "", "")
}
