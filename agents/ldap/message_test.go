// SPDX-License-Identifier: Apache-2.0

package ldap

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/google/go-cmp/cmp"
)

// reply is what a server sends: a message with a result, or with an entry.
func reply(id int64, op ber.Tag, children ...*ber.Packet) []byte {
	body := application(op, "")
	for _, c := range children {
		body.AppendChild(c)
	}
	m := ber.NewSequence("")
	m.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	m.AppendChild(body)
	return m.Bytes()
}

func resultReply(id int64, op ber.Tag, code Code, text string) []byte {
	return reply(id, op, ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, int64(code), ""), octetString(""), octetString(text))
}

func entryReply(id int64, dn, attr string, values ...string) []byte {
	list := ber.NewSequence("")
	list.AppendChild(Attribute{attr, values}.packet())
	return reply(id, searchEntry, octetString(dn), list)
}

// serve answers each request with the next of answers, nil being silence, and
// closes after the last. It returns where.
func serve(t *testing.T, answers ...[]byte) URL {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		for _, answer := range answers {
			if _, err := readMessage(r); err != nil {
				return
			}
			if answer == nil {
				_, _ = io.Copy(io.Discard, r)
			}
			if _, err := conn.Write(answer); err != nil {
				return
			}
		}
	}()
	return URL{Scheme: "ldapi", Path: path}
}

func dialed(t *testing.T, ctx context.Context, answers ...[]byte) *Conn {
	t.Helper()
	c, err := Dial(ctx, serve(t, answers...), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// notice is the last message of a session that the server ends.
func notice(code Code, text string) []byte {
	op := application(extendedResponse, "")
	op.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, int64(code), ""))
	op.AppendChild(octetString(""))
	op.AppendChild(octetString(text))
	op.AppendChild(contextString(10, "1.3.6.1.4.1.1466.20036"))
	m := ber.NewSequence("")
	m.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, int64(0), ""))
	m.AppendChild(op)
	return m.Bytes()
}

func TestSession(t *testing.T) {
	c := dialed(t, t.Context(),
		resultReply(1, bindResponse, 0, ""),
		bytes.Join([][]byte{entryReply(2, "dc=a", "cn", "x", "y"), reply(2, searchReference, octetString("ldap://elsewhere")), resultReply(2, searchDone, 0, "")}, nil),
		bytes.Join([][]byte{entryReply(3, "dc=a", "cn", "x"), resultReply(3, searchDone, SizeLimitExceeded, "")}, nil),
		resultReply(4, modifyResponse, Unwilling, "operation restricted"),
		resultReply(5, addResponse, AlreadyExists, ""),
		resultReply(6, delResponse, 0, ""),
		resultReply(7, searchDone, 0, ""),
	)
	if err := c.BindSimple("cn=x", ""); !errors.Is(err, errNoPassword) {
		t.Errorf("bind without a password: %v", err)
	}
	if err := c.BindExternal(); err != nil {
		t.Error(err)
	}
	got, err := c.Search(Query{Base: "dc=a", Scope: Subtree, Filter: And(Present("cn"), AtLeast("entryCSN", "2026"), Equal("cn", "x"))})
	if diff := cmp.Diff([]Entry{{"dc=a", []Attribute{{"cn", []string{"x", "y"}}}}}, got); diff != "" || err != nil {
		t.Errorf("search: %v, (-want +got)\n%s", err, diff)
	}
	if got, err := c.Search(Query{Limit: 1}); !errors.Is(err, SizeLimitExceeded) || len(got) != 1 || got[0].Value("CN") != "x" {
		t.Errorf("search up to a limit: %v, %v", got, err)
	}
	if err := c.Replace("cn=config", Attribute{"olcReadOnly", []string{"TRUE"}}); !errors.Is(err, Unwilling) || !strings.Contains(err.Error(), "operation restricted") {
		t.Errorf("modify: %v", err)
	}
	if err := c.Add(Entry{"cn=x", []Attribute{{"cn", []string{"x"}}}}); !errors.Is(err, AlreadyExists) {
		t.Errorf("add: %v", err)
	}
	if err := c.Delete("cn=x"); err != nil {
		t.Errorf("delete: %v", err)
	}
	if _, err := c.Read("cn=x"); !errors.Is(err, NoSuchObject) {
		t.Errorf("read of what is not shown: %v", err)
	}
	if err := c.Delete("cn=x"); err == nil { // the server is gone
		t.Error("an answer from nobody")
	}
}

func TestDisconnection(t *testing.T) {
	c := dialed(t, t.Context(), notice(Unavailable, "moving to another node"))
	err := c.BindExternal()
	if !errors.Is(err, ErrDisconnected) || !errors.Is(err, Unavailable) || !strings.Contains(err.Error(), "moving to another node") {
		t.Errorf("got %v", err)
	}
}

func TestNoAnswerInTime(t *testing.T) {
	for name, timed := range map[string]bool{"deadline": true, "cancelled": false} {
		u := serve(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		if timed {
			ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		}
		defer cancel()
		c, err := Dial(ctx, u, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if !timed {
			time.AfterFunc(50*time.Millisecond, cancel) // a session is there to be ended
		}
		err = c.BindExternal()
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer to bind in time") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Whatever a server answers, it is refused unless it is the answer.
func TestAnswersThatAreNone(t *testing.T) {
	enumerated := func(n int64) *ber.Packet {
		return ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, n, "")
	}
	for name, answer := range map[string][]byte{
		"nothing":             {},
		"text":                []byte("220 mail.example.org ESMTP\r\n"),
		"too long":            {0x30, 0x84, 0x7f, 0xff, 0xff, 0xff},
		"longer than it can":  {0x30, 0x88, 0, 0, 0, 0, 0, 0, 0, 1},
		"of no length":        {0x30, 0x80, 0x02, 0x01, 0x01, 0, 0},
		"cut off":             resultReply(1, bindResponse, 0, "")[:9],
		"empty":               {0x30, 0x00},
		"an ID alone":         {0x30, 0x03, 0x02, 0x01, 0x01},
		"another request's":   resultReply(2, bindResponse, 0, ""),
		"unasked":             resultReply(0, bindResponse, 0, ""),
		"of another kind":     resultReply(1, searchDone, 0, ""),
		"no result":           reply(1, bindResponse),
		"half a result":       reply(1, bindResponse, enumerated(0), octetString("")),
		"a result of strings": reply(1, bindResponse, octetString(""), octetString(""), octetString("")),
		"a deep one":          append([]byte{0x30, 0x24}, bytes.Repeat([]byte{0x30, 0x22}, 18)...),
		"an ID of text":       {0x30, 0x0c, 0x04, 0x01, 0x01, 0x61, 0x07, 0x0a, 1, 0, 4, 0, 4, 0},
	} {
		c := dialed(t, t.Context(), answer)
		if err := c.BindExternal(); err == nil {
			t.Errorf("%s: was taken for a success", name)
		}
	}
}

func FuzzMessage(f *testing.F) {
	f.Add(resultReply(1, bindResponse, Unwilling, "x"))
	f.Add(entryReply(1, "dc=a", "cn", "x", "y"))
	f.Add(notice(Unavailable, "bye"))
	f.Add([]byte{0x30, 0x84, 0, 0, 0, 5, 2, 1, 1, 0x61, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReader(bytes.NewReader(data))
		for {
			raw, err := readMessage(r)
			if err != nil {
				return
			}
			if len(raw) > len(data) {
				t.Fatalf("%d bytes out of %d", len(raw), len(data))
			}
			m, err := parseMessage(raw)
			if err != nil {
				continue
			}
			_ = disconnection(m)
			if e, err := parseEntry(m.body); err == nil {
				_ = e.Value("cn")
			}
			if res, err := parseResult(m.body); err == nil {
				_ = res.err()
			}
		}
	})
}

// What we send must be what a parser takes.
func FuzzFilter(f *testing.F) {
	f.Add("cn", "x", "entryCSN", "20260101000000.000000Z#000000#001#000000")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		q := Query{Base: a, Filter: And(Equal(a, b), AtLeast(c, d), Present(a)), Attributes: []string{b, c}}
		data := q.packet().Bytes()
		if err := shallow(data, maxDepth); err != nil {
			t.Errorf("%x: %v", data, err)
		}
		if _, err := ber.DecodePacketErr(data); err != nil {
			t.Errorf("%x: %v", data, err)
		}
	})
}

func TestEnded(t *testing.T) {
	if _, err := readMessage(bufio.NewReader(strings.NewReader(""))); !errors.Is(err, io.EOF) {
		t.Errorf("an end between messages: %v", err)
	}
	if _, err := readMessage(bufio.NewReader(strings.NewReader("0"))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an end within a message: %v", err)
	}
}
