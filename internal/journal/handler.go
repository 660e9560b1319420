// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
)

// Identifier is what journalctl -t finds the lines by.
const Identifier = "mailha-ocf"

// Origin is what every line says of the call that it comes from, as the fields
// MAILHA_RESOURCE, MAILHA_AGENT and MAILHA_ACTION.
type Origin struct{ Resource, Agent, Action string }

// Handler writes each record as one line of the journal: its attributes become
// fields MAILHA_KEY, and its message is readable without them, as in
// "p_mta: drained: sessions=3 cut=0". It connects when there is a line to write.
type Handler struct {
	socket *socket
	level  slog.Level
	origin Origin
	attrs  []attr // of WithAttrs
	groups string // of WithGroup, each with a dot behind it
}

// attr is an attribute with the groups that it is in: "group.key".
type attr struct{ key, value string }

// New returns a handler for records of at least the level. Path is that of the
// journal's socket; with an empty one nothing is written.
func New(path string, level slog.Level, o Origin) *Handler {
	return &Handler{socket: &socket{path: path}, level: level, origin: o}
}

// Enabled says whether a record of that level would be written.
func (h *Handler) Enabled(_ context.Context, level slog.Level) bool {
	return h.socket.path != "" && level >= h.level
}

// WithAttrs returns a handler that adds the attributes to every record.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.attrs = slices.Clone(h.attrs)
	for _, a := range attrs {
		with.attrs = appendAttr(with.attrs, h.groups, a)
	}
	return &with
}

// WithGroup returns a handler that puts the attributes that follow in a group.
func (h *Handler) WithGroup(name string) slog.Handler {
	with := *h
	if name != "" {
		with.groups += name + "."
	}
	return &with
}

// Handle writes the record. It returns within a moment, whatever the journal
// does; a line that the journal does not take is lost.
func (h *Handler) Handle(_ context.Context, r slog.Record) error {
	attrs := slices.Clone(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		attrs = appendAttr(attrs, h.groups, a)
		return true
	})
	// Every line has it already.
	attrs = slices.DeleteFunc(attrs, func(a attr) bool { return a.key == "resource" && a.value == h.origin.Resource })

	const daemon = 3 // the facility, for a syslog that gets the line too: RFC 5424, section 6.2.1
	var d datagram
	d.add("MESSAGE", message(h.origin.Resource, r.Message, attrs))
	d.add("PRIORITY", strconv.Itoa(priority(r.Level)))
	d.add("SYSLOG_IDENTIFIER", Identifier)
	d.add("SYSLOG_FACILITY", strconv.Itoa(daemon))
	d.add("MAILHA_RESOURCE", h.origin.Resource)
	d.add("MAILHA_AGENT", h.origin.Agent)
	d.add("MAILHA_ACTION", h.origin.Action)
	for _, a := range attrs {
		d.add(fieldName(a.key), a.value)
	}
	return h.socket.send(d.bytes)
}

// appendAttr resolves an attribute as [slog.Handler] asks for: empty ones are
// left out, and a group without a name adds its attributes where it is.
func appendAttr(attrs []attr, groups string, a slog.Attr) []attr {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			groups += a.Key + "."
		}
		for _, member := range value.Group() {
			attrs = appendAttr(attrs, groups, member)
		}
		return attrs
	}
	if a.Equal(slog.Attr{}) {
		return attrs
	}
	return append(attrs, attr{groups + a.Key, value.String()})
}

// message is what a person reads. A value of several words is quoted, unless
// nothing comes after it.
func message(resource, text string, attrs []attr) string {
	var b strings.Builder
	b.WriteString(resource + ": " + text)
	for i, a := range attrs {
		if i == 0 {
			b.WriteByte(':')
		}
		value := oneLine(a.value)
		if i < len(attrs)-1 && (value == "" || strings.ContainsAny(value, ` "=`)) {
			value = strconv.Quote(value)
		}
		b.WriteString(" " + a.key + "=" + value)
	}
	return printable(oneLine(b.String()))
}

// oneLine joins lines as sentences are.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// priority is that of syslog(3) for a level.
func priority(level slog.Level) int {
	const err, warning, info, debug = 3, 4, 6, 7
	switch {
	case level >= slog.LevelError:
		return err
	case level >= slog.LevelWarn:
		return warning
	case level >= slog.LevelInfo:
		return info
	}
	return debug
}
