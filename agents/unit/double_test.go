// SPDX-License-Identifier: Apache-2.0

package unit

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
)

const theUnit = "mta.service"

// double is a bus with a systemd that has one unit, down to the wire, so that
// connections can break between any two messages. Whatever it is not told to do,
// it leaves: a job stays queued until finish is called.
type double struct {
	mu         sync.Mutex
	down       bool // nobody answers at the socket
	clients    []*client
	requests   []string // calls that change something, in order
	info       unitInfo
	result     string
	invocation byte
	pids       []uint32
	jobs       uint32
	// hooks replace the answer to a method; one that returns true is used up.
	hooks map[string]func(*client, *dbus.Message) bool
}

// client is the double's end of one connection.
type client struct {
	d *double
	net.Conn
	write sync.Mutex
	once  sync.Once
	gone  chan struct{} // closed with the connection
	in    bool          // has logged in, so it can get signals
}

func newDouble(active string) *double {
	d := &double{hooks: map[string]func(*client, *dbus.Message) bool{}, result: "success"}
	d.info = unitInfo{Name: theUnit, Load: "loaded", Path: unitPath(theUnit), JobPath: "/"}
	d.become(active)
	return d
}

// manager returns a Manager for the double, closed when the test ends.
func (d *double) manager(t *testing.T) *Manager {
	m := New("", nil)
	m.dial, m.spare = d.dial, nil
	t.Cleanup(func() {
		m.Close()
		d.cut()
	})
	return m
}

func (d *double) dial(context.Context) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	c := &client{d: d, Conn: ours, gone: make(chan struct{})}
	d.clients = append(d.clients, c)
	go c.serve()
	return theirs, nil
}

// Close breaks the connection.
func (c *client) Close() error {
	c.once.Do(func() { close(c.gone) })
	return c.Conn.Close()
}

// cut breaks all connections, and for down lets nobody in again.
func (d *double) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.clients {
		c.Close()
	}
	d.clients = nil
}

func (d *double) setDown(down bool) {
	d.mu.Lock()
	d.down = down
	d.mu.Unlock()
	if down {
		d.cut()
	}
}

// become puts the unit into a state; each start gives it a new invocation.
func (d *double) become(active string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	started := active == "active" || active == "failed"
	if started && (d.info.Active != active || d.info.JobType == "restart") {
		d.invocation++
	}
	d.info.Active, d.info.Sub = active, "sub-"+active
}

// queue makes a job for the unit.
func (d *double) queue(kind string) dbus.ObjectPath {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.jobs++
	d.info.JobID, d.info.JobType, d.info.JobPath = d.jobs, kind, dbus.ObjectPath(fmt.Sprintf("/org/freedesktop/systemd1/job/%d", d.jobs))
	return d.info.JobPath
}

// finish ends the job, puts the unit into a state, and says so if there is anybody to hear it.
func (d *double) finish(result, active string) {
	d.become(active)
	d.mu.Lock()
	id, path := d.info.JobID, d.info.JobPath
	d.info.JobID, d.info.JobType, d.info.JobPath = 0, "", "/"
	d.mu.Unlock()
	d.signal("/org/freedesktop/systemd1", managerFace, "JobRemoved", id, path, theUnit, result)
}

func (d *double) signal(path dbus.ObjectPath, face, member string, body ...any) {
	d.mu.Lock()
	clients := slices.DeleteFunc(slices.Clone(d.clients), func(c *client) bool { return !c.in })
	d.mu.Unlock()
	for _, c := range clients {
		c.send(&dbus.Message{Type: dbus.TypeSignal, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldPath: dbus.MakeVariant(path), dbus.FieldInterface: dbus.MakeVariant(face), dbus.FieldMember: dbus.MakeVariant(member),
		}})
	}
}

// on replaces the next answer to a method by what f does.
func (d *double) on(method string, f func(*client, *dbus.Message)) {
	d.always(method, func(c *client, m *dbus.Message) bool {
		f(c, m)
		return true
	})
}

func (d *double) always(method string, f func(*client, *dbus.Message) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hooks[method] = f
}

func (d *double) asked() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.requests)
}

// serve is the bus: it lets anybody in, then answers until the connection ends.
func (c *client) serve() {
	defer c.Close()
	r := bufio.NewReader(c)
	if !c.login(r) {
		return
	}
	for {
		m, err := dbus.DecodeMessage(r)
		if err != nil {
			return
		}
		c.answer(m)
	}
}

func (c *client) login(r *bufio.Reader) bool {
	if b, err := r.ReadByte(); err != nil || b != 0 {
		return false
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return false
		}
		say := "OK 0123456789abcdef0123456789abcdef\r\n"
		switch {
		case line == "AUTH\r\n":
			say = "REJECTED EXTERNAL\r\n"
		case line == "BEGIN\r\n":
			c.d.mu.Lock()
			defer c.d.mu.Unlock()
			c.in = true
			return true
		case !strings.HasPrefix(line, "AUTH EXTERNAL"):
			say = "ERROR\r\n"
		}
		if _, err := c.Write([]byte(say)); err != nil {
			return false
		}
	}
}

func (c *client) answer(m *dbus.Message) {
	d := c.d
	member, _ := m.Headers[dbus.FieldMember].Value().(string)
	d.mu.Lock()
	if strings.HasSuffix(member, "Unit") {
		d.requests = append(d.requests, member)
	}
	hook := d.hooks[member]
	d.mu.Unlock()
	if hook != nil {
		if hook(c, m) {
			d.mu.Lock()
			delete(d.hooks, member)
			d.mu.Unlock()
		}
		return
	}
	switch member {
	case "Hello":
		c.reply(m, ":1.1")
	case "ListUnitsByNames":
		d.mu.Lock()
		info := d.info
		d.mu.Unlock()
		c.reply(m, []unitInfo{info})
	case "Get":
		c.get(m)
	case "StartUnit", "StopUnit", "RestartUnit", "ReloadUnit":
		c.reply(m, d.queue(strings.ToLower(strings.TrimSuffix(member, "Unit"))))
	case "GetUnitProcesses":
		type process struct {
			Group   string
			PID     uint32
			Command string
		}
		list := []process{}
		d.mu.Lock()
		for _, pid := range d.pids {
			list = append(list, process{"/x", pid, "sleep"})
		}
		d.mu.Unlock()
		c.reply(m, list)
	default: // AddMatch, RemoveMatch, Subscribe, KillUnit, ResetFailedUnit
		c.reply(m)
	}
}

func (c *client) get(m *dbus.Message) {
	d := c.d
	d.mu.Lock()
	values := map[string]any{
		"InvocationID": slices.Repeat([]byte{d.invocation}, 16), "NeedDaemonReload": false, "Result": d.result,
		"ControlGroup": "/x", "MainPID": uint32(d.invocation), "ExecMainCode": int32(0), "ExecMainStatus": int32(0),
	}
	d.mu.Unlock()
	c.reply(m, dbus.MakeVariant(values[m.Body[1].(string)]))
}

func (c *client) reply(m *dbus.Message, body ...any) {
	if m.Flags&dbus.FlagNoReplyExpected != 0 {
		return
	}
	c.send(&dbus.Message{Type: dbus.TypeMethodReply, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldReplySerial: dbus.MakeVariant(m.Serial()),
	}})
}

func (c *client) refuse(m *dbus.Message, name, text string) {
	c.send(&dbus.Message{Type: dbus.TypeError, Body: []any{text}, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldReplySerial: dbus.MakeVariant(m.Serial()), dbus.FieldErrorName: dbus.MakeVariant(name),
	}})
}

func (c *client) send(m *dbus.Message) {
	if len(m.Body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(m.Body...))
	}
	c.write.Lock()
	defer c.write.Unlock()
	var buf strings.Builder
	if err := m.EncodeTo(&buf, binary.LittleEndian); err != nil {
		panic(err) // a mistake in a test
	}
	c.Write([]byte(buf.String())) // an error ends serve, too
}
