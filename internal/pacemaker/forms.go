// SPDX-License-Identifier: Apache-2.0

package pacemaker

import (
	"fmt"
	"regexp"
	"strings"
)

// nothing is the agent of an anchor, which comes with Pacemaker.
const nothing = "ocf:pacemaker:Dummy"

// text is a file under way.
type text struct{ strings.Builder }

func (w *text) line(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

// comments are of a form that crmsh can keep in XML, where none has two dashes in a
// row, nor one at its end.
func (w *text) comments(lines ...string) {
	for _, l := range lines {
		for strings.Contains(l, "--") {
			l = strings.ReplaceAll(l, "--", "- -")
		}
		if strings.HasSuffix(l, "-") {
			l += "."
		}
		w.line("# %s", l)
	}
}

// command writes parts of a command, the first one alone in its line with what
// belongs to it, and the others below it.
func (w *text) command(parts []string) { w.line("%s", strings.Join(parts, " \\\n\t")) }

func (g group) title() string {
	if g.anchor != "" {
		return "Group " + g.name + ", whose services are with " + g.anchor + ", which does nothing else:"
	}
	return "Group " + g.name + ":"
}

func (t *translation) crmsh() string {
	var w text
	w.comments(t.heading("crm configure load update THIS-FILE")...)
	for _, g := range t.groups {
		w.line("")
		w.comments(append([]string{g.title()}, g.notes...)...)
		if g.anchor != "" {
			w.line("primitive %s %s op monitor interval=60s timeout=20s", g.anchor, nothing)
		}
		var members []string
		for _, p := range g.primitives {
			members = append(members, p.id)
			w.command(p.crmsh())
			if p.clone != "" {
				w.command([]string{"clone " + p.clone + " " + p.id, "meta promotable=true promoted-max=1 interleave=true"})
			}
		}
		if g.chain != "" {
			w.line("group %s %s", g.chain, strings.Join(members, " "))
		}
		for _, b := range g.bonds {
			w.line("colocation %s inf: %s %s", t.id("with-"+b.then.id+"-"+b.first.id), b.then.crmsh("Promoted"), b.first.crmsh("Promoted"))
			w.line("order %s Mandatory: %s %s", t.id("after-"+b.first.id+"-"+b.then.id), b.first.crmsh("promote", "start"), b.then.crmsh("promote", "start"))
		}
		for _, n := range g.prefer {
			id := t.id("prefer-" + g.handle.id + "-" + n.node)
			if g.handle.promoted {
				w.line("location %s %s rule role=Promoted %d: #uname eq %s", id, g.handle.id, n.score, n.node)
			} else {
				w.line("location %s %s %d: %s", id, g.handle.id, n.score, n.node)
			}
		}
		for _, node := range g.never {
			w.line("location %s %s -inf: %s", t.id("never-"+g.handle.id+"-"+node), g.handle.id, node)
		}
	}
	if len(t.apart) > 0 {
		w.line("")
		w.comments("Rather on different nodes than on one:")
	}
	for _, pair := range t.apart {
		w.line("colocation %s %d: %s %s", t.id("apart-"+pair[0].id+"-"+pair[1].id), apart, pair[0].crmsh("Promoted"), pair[1].crmsh("Promoted"))
	}
	t.crmshFences(&w)
	return w.String()
}

// crmsh names a handle: with the first word where it is promoted, with the second
// if there is one where it is not.
func (h handle) crmsh(words ...string) string {
	switch {
	case h.promoted:
		return h.id + ":" + words[0]
	case len(words) > 1:
		return h.id + ":" + words[1]
	}
	return h.id
}

func (p primitive) crmsh() []string {
	parts := []string{fmt.Sprintf("primitive %s ocf:mailha:%s", p.id, p.kind)}
	if len(p.params) > 0 {
		parts = append(parts, "params "+pairs(p.params, crmQuote))
	}
	for _, o := range p.ops {
		s := fmt.Sprintf("op %s interval=%s timeout=%s", o.name, seconds(o.interval), seconds(o.timeout))
		parts = append(parts, s+o.rest())
	}
	return append(parts, "meta "+pairs(p.meta, crmQuote))
}

func (o op) rest() string {
	s := ""
	if o.role != "" {
		s += " role=" + o.role
	}
	if o.onFail != "" {
		s += " on-fail=" + o.onFail
	}
	if o.depth > 0 {
		s += fmt.Sprintf(" OCF_CHECK_LEVEL=%d", o.depth)
	}
	return s
}

func pairs(all [][2]string, quote func(string) string) string {
	var parts []string
	for _, p := range all {
		parts = append(parts, p[0]+"="+quote(p[1]))
	}
	return strings.Join(parts, " ")
}

// plain is what neither a shell nor crmsh takes for anything else.
func plain(s string) bool { return regexp.MustCompile(`^[A-Za-z0-9_./:@,+-]+$`).MatchString(s) }

// crmQuote writes a word as crmsh reads it, which is as a shell would, but with
// nothing special in double quotes beside the quote and the backslash.
func crmQuote(s string) string {
	if plain(s) {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// shQuote writes a word for sh(1).
func shQuote(s string) string {
	if plain(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func (t *translation) pcs() string {
	var w text
	w.line("#!/bin/sh")
	w.comments(t.heading("pcs cluster cib mail.xml; sh THIS-FILE mail.xml; pcs cluster cib-push mail.xml")...)
	w.line("set -eu")
	w.line("cib=$1")
	w.line(`pcs() { command pcs -f "$cib" "$@"; }`)
	for _, g := range t.groups {
		w.line("")
		w.comments(append([]string{g.title()}, g.notes...)...)
		if g.anchor != "" {
			w.line("pcs resource create %s %s op monitor interval=60s timeout=20s", g.anchor, nothing)
		}
		for _, p := range g.primitives {
			parts := p.pcs()
			switch {
			case p.clone != "":
				w.command(parts)
				w.line("pcs resource promotable %s %s meta promoted-max=1 interleave=true", p.id, p.clone)
				continue
			case g.chain != "":
				parts = append(parts, "--group "+g.chain)
			}
			w.command(parts)
		}
		for _, b := range g.bonds {
			w.line("pcs constraint colocation add %s with %s INFINITY", b.then.pcs("Promoted ", "Started "), b.first.pcs("Promoted ", "Started "))
			w.line("pcs constraint order %s then %s", b.first.pcs("promote ", "start "), b.then.pcs("promote ", "start "))
		}
		for _, n := range g.prefer {
			if g.handle.promoted {
				w.line("pcs constraint location %s rule role=Promoted score=%d '#uname' eq %s", g.handle.id, n.score, n.node)
			} else {
				w.line("pcs constraint location %s prefers %s=%d", g.handle.id, n.node, n.score)
			}
		}
		for _, node := range g.never {
			w.line("pcs constraint location %s avoids %s", g.handle.id, node)
		}
	}
	if len(t.apart) > 0 {
		w.line("")
		w.comments("Rather on different nodes than on one:")
	}
	for _, pair := range t.apart {
		w.line("pcs constraint colocation add %s with %s -- %d", pair[0].pcs("Promoted ", "Started "), pair[1].pcs("Promoted ", "Started "), apart)
	}
	t.pcsFences(&w)
	return w.String()
}

func (h handle) pcs(promoted, other string) string {
	if h.promoted {
		return promoted + h.id
	}
	return other + h.id
}

func (p primitive) pcs() []string {
	parts := []string{fmt.Sprintf("pcs resource create %s ocf:mailha:%s", p.id, p.kind)}
	if len(p.params) > 0 {
		parts = append(parts, pairs(p.params, shQuote))
	}
	for _, o := range p.ops {
		s := "op " + o.name
		if o.interval > 0 {
			s += " interval=" + seconds(o.interval)
		}
		parts = append(parts, s+" timeout="+seconds(o.timeout)+o.rest())
	}
	return append(parts, "meta "+pairs(p.meta, shQuote))
}
