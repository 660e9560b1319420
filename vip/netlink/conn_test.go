// SPDX-License-Identifier: Apache-2.0

package netlink

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func open(t *testing.T, ctx context.Context) *Conn {
	t.Helper()
	c, err := Open(ctx, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// names lists the interfaces, of which every network namespace has at least one.
func names(t *testing.T, c *Conn) []string {
	t.Helper()
	list, err := c.Dump(unix.RTM_GETLINK, make([]byte, unix.SizeofIfInfomsg))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, m := range list {
		for kind, value := range Attributes(m[unix.SizeofIfInfomsg:]) {
			if kind == unix.IFLA_IFNAME {
				found = append(found, String(value))
			}
		}
	}
	return found
}

func TestDump(t *testing.T) {
	c := open(t, t.Context())
	for range 3 {
		if got := names(t, c); !slices.Contains(got, "lo") {
			t.Fatalf("interfaces %q", got)
		}
	}
}

func TestRefusals(t *testing.T) {
	c := open(t, t.Context())
	del := make([]byte, unix.SizeofIfAddrmsg)
	del[0] = unix.AF_INET
	binary.NativeEndian.PutUint32(del[4:], 1<<30) // there is no such interface
	if err := c.Do(unix.RTM_DELADDR, 0, del); err != unix.ENODEV {
		t.Errorf("got %v, want the kernel's own %v", err, unix.ENODEV)
	}
	if _, err := c.Dump(0xfff, make([]byte, 16)); err != unix.EOPNOTSUPP {
		t.Errorf("got %v, want %v", err, unix.EOPNOTSUPP)
	}
	if got := names(t, c); !slices.Contains(got, "lo") {
		t.Errorf("afterwards: interfaces %q", got)
	}
}

func TestContext(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ended, unix.NETLINK_ROUTE); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := open(t, soon).receive(); !errors.Is(err, os.ErrDeadlineExceeded) { // nothing was asked
		t.Errorf("without an answer: %v", err)
	}
	if _, err := Open(t.Context(), 1<<20); !errors.Is(err, unix.EPROTONOSUPPORT) {
		t.Errorf("a family that there is not: %v", err)
	}
}

// Other processes can send to the socket, and the rest of an answer that was given up
// may still be in it.
func TestForeignMessages(t *testing.T) {
	c := open(t, t.Context())
	want := names(t, c)
	self, err := unix.Getsockname(c.fd)
	if err != nil {
		t.Fatal(err)
	}
	done := appendHeader(nil, header{kind: unix.NLMSG_DONE, seq: c.seq + 1}, nil)
	if err := unix.Sendto(open(t, t.Context()).fd, done, 0, self); err != nil {
		t.Fatal(err)
	}
	if got := names(t, c); !slices.Equal(got, want) {
		t.Errorf("with another process's end of the list: %q, want %q", got, want)
	}
	refused := appendHeader(nil, header{kind: 0xfff, flags: unix.NLM_F_REQUEST, seq: 1}, nil)
	if err := unix.Sendto(c.fd, refused, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	if got := names(t, c); !slices.Equal(got, want) {
		t.Errorf("with an answer that nobody has read: %q, want %q", got, want)
	}
}

// A list that changed while the kernel told it, an answer that does not fit and
// messages that cannot be are no answers.
func TestBadAnswers(t *testing.T) {
	item := func(flags uint16, body string) []byte {
		return appendHeader(nil, header{kind: unix.RTM_NEWLINK, flags: flags | unix.NLM_F_MULTI, seq: 7}, []byte(body))
	}
	end := func(kind uint16, body ...byte) []byte {
		return appendHeader(nil, header{kind: kind, flags: unix.NLM_F_MULTI, seq: 7}, body)
	}
	short := item(0, "body")
	short[0] = headerLen - 1
	long := item(0, "body")
	long[0]++
	errno := func(e unix.Errno) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(-int32(e))) }
	for _, tt := range []struct {
		name        string
		datagrams   [][]byte
		bodies      []string
		interrupted bool
		err         error
	}{
		{name: "in two", datagrams: [][]byte{append(item(0, "bod1"), item(0, "body")...), item(0, "more"), end(unix.NLMSG_DONE)}, bodies: []string{"bod1", "body", "more"}},
		{name: "not aligned", datagrams: [][]byte{append(append(item(0, "a"), 0, 0, 0), item(0, "body")...), end(unix.NLMSG_DONE)}, bodies: []string{"a", "body"}},
		{name: "interrupted", datagrams: [][]byte{item(unix.NLM_F_DUMP_INTR, "body"), item(0, "more"), end(unix.NLMSG_DONE)}, bodies: []string{"body", "more"}, interrupted: true},
		{name: "interrupted at the end", datagrams: [][]byte{item(0, "body"), appendHeader(nil, header{kind: unix.NLMSG_DONE, flags: unix.NLM_F_DUMP_INTR, seq: 7}, nil)}, bodies: []string{"body"}, interrupted: true},
		{name: "ends in an error", datagrams: [][]byte{item(0, "body"), end(unix.NLMSG_DONE, errno(unix.ENOMEM)...)}, err: unix.ENOMEM},
		{name: "an error", datagrams: [][]byte{end(unix.NLMSG_ERROR, errno(unix.ENOENT)...)}, err: unix.ENOENT},
		{name: "acknowledged", datagrams: [][]byte{end(unix.NLMSG_ERROR, errno(0)...)}},
		{name: "an error without number", datagrams: [][]byte{end(unix.NLMSG_ERROR, 0)}, err: errMalformed},
		{name: "less than a header", datagrams: [][]byte{{1, 2, 3}}, err: errMalformed},
		{name: "shorter than its header", datagrams: [][]byte{short}, err: errMalformed},
		{name: "longer than the datagram", datagrams: [][]byte{long}, err: errMalformed},
		{name: "no end", datagrams: [][]byte{item(0, "body")}, err: os.ErrDeadlineExceeded},
	} {
		a := answer{seq: 7}
		err := a.collect(func() ([]byte, error) {
			if len(tt.datagrams) == 0 {
				return nil, os.ErrDeadlineExceeded
			}
			next := tt.datagrams[0]
			tt.datagrams = tt.datagrams[1:]
			return next, nil
		})
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.err)
		}
		var bodies []string
		for _, b := range a.bodies {
			bodies = append(bodies, string(b))
		}
		if tt.err == nil && (!slices.Equal(bodies, tt.bodies) || a.interrupted != tt.interrupted) {
			t.Errorf("%s: %q, interrupted: %t", tt.name, bodies, a.interrupted)
		}
	}
}

func TestTruncated(t *testing.T) {
	c := open(t, t.Context())
	c.buf = c.buf[:64]
	if _, err := c.Dump(unix.RTM_GETLINK, make([]byte, unix.SizeofIfInfomsg)); !errors.Is(err, errTruncated) {
		t.Errorf("got %v, want %v", err, errTruncated)
	}
}

func TestAttributesReadBack(t *testing.T) {
	b := Append(nil, 1, []byte("x"))
	b = AppendUint32(b, 2|unix.NLA_F_NET_BYTEORDER, 0xfeedbeef)
	b = AppendString(b, 3, "eth0")
	b = Append(b, 4|unix.NLA_F_NESTED, Append(nil, 5, nil))
	var kinds []int
	for kind, value := range Attributes(b) {
		kinds = append(kinds, kind)
		switch {
		case kind == 1 && string(value) != "x", kind == 2 && Uint32(value) != 0xfeedbeef, kind == 3 && String(value) != "eth0":
			t.Errorf("attribute %d is %x", kind, value)
		case kind == 4:
			for kind, value := range Attributes(value) {
				if kind != 5 || len(value) != 0 {
					t.Errorf("nested: attribute %d is %x", kind, value)
				}
			}
		}
	}
	if !slices.Equal(kinds, []int{1, 2, 3, 4}) || len(b)%4 != 0 {
		t.Errorf("types %d in %d bytes", kinds, len(b))
	}
	if Uint32([]byte{1, 2, 3}) != 0 {
		t.Error("three bytes are no number")
	}
}

func FuzzAttributes(f *testing.F) {
	f.Add(AppendString(AppendUint32(nil, 1, 2), 3, "four"))
	f.Add([]byte{3, 0, 1, 0})
	f.Add([]byte{5, 0, 1, 0, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		for _, value := range Attributes(b) {
			n += attributeLen + len(value)
		}
		if n > len(b) {
			t.Errorf("%d bytes of attributes in %d", n, len(b))
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add(appendHeader(nil, header{kind: unix.NLMSG_DONE}, nil))
	f.Add(appendHeader(nil, header{kind: unix.NLMSG_ERROR}, []byte{1}))
	f.Fuzz(func(t *testing.T, datagram []byte) {
		sent := false
		var a answer
		a.collect(func() ([]byte, error) {
			if sent {
				return nil, os.ErrDeadlineExceeded
			}
			sent = true
			return datagram, nil
		})
	})
}
