// SPDX-License-Identifier: Apache-2.0

package pacemaker

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/mailha/mailha/resources"
)

// What Pacemaker does, and mailhad, where nothing else is said: those are left out.
const (
	usualAttempts = 2
	usualVerify   = 500 * time.Millisecond
)

// device is a fence device (pacemaker-fenced(7) has the parameters that begin with pcmk_).
type device struct {
	id, agent string
	params    [][2]string
	monitor   op
	notes     []string
}

// level is which devices have to succeed together for a node.
type level struct {
	node    string
	number  int
	devices []string
}

func (t *translation) fences() error {
	ids := map[string]string{}
	for _, f := range t.cluster.Fences {
		d := device{id: t.id("fence-" + f.Name), agent: filepath.Base(f.Agent), monitor: op{name: "monitor", interval: f.CheckInterval, timeout: f.Timeout}}
		ids[f.Name] = d.id
		for _, name := range slices.Sorted(maps.Keys(f.Parameters)) {
			d.set(name, f.Parameters[name])
		}
		d.hosts(f)
		d.ways(f)
		if filepath.IsAbs(f.Agent) && filepath.Dir(f.Agent) != "/usr/sbin" {
			d.notes = append(d.notes, fmt.Sprintf("Pacemaker runs fence agents of /usr/sbin only: make a link there to %s", f.Agent))
		}
		for _, name := range slices.Sorted(maps.Keys(f.Secrets)) {
			d.notes = append(d.notes,
				fmt.Sprintf("WITHOUT ITS SECRET: %s is the line in %s.", name, f.Secrets[name]),
				"Set it by hand, and not as a plain parameter, which all can read who may read the CIB:",
				fmt.Sprintf("cibsecret(8) keeps it elsewhere; or see whether the agent has %s_script,", name),
				"a program on each node that prints it.")
		}
		for _, p := range d.params {
			if strings.ContainsFunc(p[1], unicode.IsControl) {
				return fmt.Errorf("fence %q: %s has a line break or another control character, which cannot be written down here", f.Name, p[0])
			}
		}
		t.devices = append(t.devices, d)
	}
	t.topology(ids)
	return nil
}

func (d *device) set(name, value string) { d.params = append(d.params, [2]string{name, value}) }

// hosts says which nodes the device is for, and their outlets.
func (d *device) hosts(f resources.Fence) {
	nodes := slices.Sorted(maps.Keys(f.Ports))
	if !slices.ContainsFunc(nodes, func(n string) bool { return f.Ports[n] != n }) {
		d.set("pcmk_host_list", strings.Join(nodes, " "))
		return
	}
	var pairs []string
	for _, n := range nodes {
		if strings.ContainsAny(f.Ports[n], ":;= \t,\\") {
			d.notes = append(d.notes, fmt.Sprintf("outlet %q of %s has a character that divides pcmk_host_map: see how your Pacemaker reads it", f.Ports[n], n))
		}
		pairs = append(pairs, n+":"+f.Ports[n])
	}
	d.set("pcmk_host_map", strings.Join(pairs, ";"))
}

// ways are how the device is used.
func (d *device) ways(f resources.Fence) {
	if f.Action == resources.FenceOff {
		d.set("pcmk_reboot_action", "off")
	}
	for _, action := range []string{"off", "reboot"} {
		d.set("pcmk_"+action+"_timeout", seconds(f.Timeout))
		if f.Attempts != usualAttempts {
			d.set("pcmk_"+action+"_retries", strconv.Itoa(f.Attempts))
		}
	}
	if f.Delay > 0 {
		d.set("pcmk_delay_base", seconds(f.Delay))
	}
	if f.DelayRandom > 0 {
		d.set("pcmk_delay_max", seconds(f.Delay+f.DelayRandom))
	}
	if f.Verify != usualVerify {
		d.notes = append(d.notes, fmt.Sprintf("verify = %q: Pacemaker leaves that to the agent", resources.Span(f.Verify)))
	}
}

// topology says in which order the devices of a node are used, where one has several.
func (t *translation) topology(ids map[string]string) {
	several := false
	for _, n := range t.cluster.Nodes {
		levels := map[int][]string{}
		for _, f := range t.cluster.Fences {
			if _, has := f.Ports[n.Name]; has {
				levels[f.Level] = append(levels[f.Level], ids[f.Name])
			}
		}
		for i, number := range slices.Sorted(maps.Keys(levels)) {
			several = several || i > 0 || len(levels[number]) > 1
			t.levels = append(t.levels, level{n.Name, number, levels[number]})
		}
	}
	if !several {
		t.levels = nil
	}
}

const aboutLevels = "All devices of a level have to succeed, or those of the next are asked:"

func (t *translation) crmshFences(w *text) {
	for _, d := range t.devices {
		w.line("")
		w.comments(d.notes...)
		w.command([]string{
			fmt.Sprintf("primitive %s stonith:%s", d.id, d.agent),
			"params " + pairs(d.params, crmQuote),
			fmt.Sprintf("op monitor interval=%s timeout=%s", seconds(d.monitor.interval), seconds(d.monitor.timeout)),
		})
	}
	if len(t.levels) == 0 {
		return
	}
	w.line("")
	w.comments(aboutLevels)
	parts := []string{"fencing_topology"}
	for i, l := range t.levels {
		devices := strings.Join(l.devices, ",")
		if i > 0 && t.levels[i-1].node == l.node {
			parts[len(parts)-1] += " " + devices
			continue
		}
		parts = append(parts, l.node+": "+devices)
	}
	w.command(parts)
}

func (t *translation) pcsFences(w *text) {
	for _, d := range t.devices {
		w.line("")
		w.comments(d.notes...)
		w.command([]string{
			fmt.Sprintf("pcs stonith create %s %s", d.id, d.agent),
			pairs(d.params, shQuote),
			fmt.Sprintf("op monitor interval=%s timeout=%s", seconds(d.monitor.interval), seconds(d.monitor.timeout)),
		})
	}
	if len(t.levels) == 0 {
		return
	}
	w.line("")
	w.comments(aboutLevels)
	for _, l := range t.levels {
		w.line("pcs stonith level add %d %s %s", l.number, l.node, strings.Join(l.devices, " "))
	}
}
