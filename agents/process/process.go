// SPDX-License-Identifier: Apache-2.0

// Package process finds the processes of one service instance without asking
// the service, its unit or its configuration, and ends them. It is what a stop
// uses to prove that nothing is left.
//
// It must never touch a process outside its own PID namespace: on a host with
// containers, the same service with the same configuration path may run inside.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Process is one live process. PID and Start together name it for as long as
// the machine runs, although PIDs are used again.
type Process struct {
	PID   int
	Start uint64 // clock ticks after boot, proc(5) stat field 22
	Name  string // proc(5) comm
	State byte   // proc(5) stat field 3 when it was found, such as 'R', 'S' or 'T'
}

// Life is one life of a process, whatever its state is meanwhile.
type Life struct {
	PID   int
	Start uint64
}

// Life is what stays the same as long as the process lives.
func (p Process) Life() Life { return Life{p.PID, p.Start} }

func (p Process) String() string { return fmt.Sprintf("%s[%d]", p.Name, p.PID) }

// Match says which processes belong to an instance: those in the control
// group; those that run one of Programs and have one of the signs: the variable
// Environ in their environment, the working directory Dir, Argument on their
// command line, File open, or Title; and what such a process has started of
// Programs.
type Match struct {
	// ControlGroup is a path below the systemd hierarchy, such as
	// /system.slice/x.service. Empty or "/" matches nothing.
	ControlGroup string
	// Programs are executables, or directories of them. A program that was
	// removed while it ran still counts.
	Programs []string
	// Name is what such a process is called, proc(5) comm; empty: anything. Other
	// programs of the same directory may have the same signs.
	Name string
	// Environ is NAME=value, Argument a whole word, Dir and File are absolute paths
	// without symbolic links. Without any of them, Programs match nothing: a
	// directory of programs alone does not tell instances apart.
	Environ  string
	Dir      string
	Argument string
	File     string
	// Title is how the command line of such a process begins. It is a sign of
	// orphans alone, whose parent runs none of Programs: the titles of two instances
	// may be alike, but what lives under another instance's parent is that one's.
	Title string
}

// Find lists the live processes that match, by PID. Zombies are not alive:
// they hold nothing any more. The caller's own process is left out.
func Find(m Match) ([]Process, error) {
	var f family
	err := each(func(dir string) (add func(Process)) {
		// The cheap questions come first: most processes fail them.
		program := m.isProgram(dir)
		ours := m.inControlGroup(dir) || program && m.hasSign(dir)
		if !ours && !program {
			return nil
		}
		return func(p Process) {
			f = append(f, member{Process: p, parent: parentOf(dir), ours: ours, program: program, titled: program && m.hasTitle(dir)})
		}
	})
	if err != nil {
		return nil, err
	}
	found := f.ours()
	slices.SortFunc(found, func(a, b Process) int { return a.PID - b.PID })
	return found, nil
}

// Of reads one process by its PID. It returns [ErrGone] for one that has ended.
func Of(pid int) (Process, error) { return read(fmt.Sprintf("/proc/%d", pid), pid) }

// All lists all live processes but the caller's own, by PID.
func All() ([]Process, error) {
	var all []Process
	err := each(func(string) func(Process) { return func(p Process) { all = append(all, p) } })
	slices.SortFunc(all, func(a, b Process) int { return a.PID - b.PID })
	return all, err
}

// each goes through the processes of this PID namespace by their directories
// below /proc, and reads those for which wanted returns what to do with them.
func each(wanted func(dir string) (add func(Process))) error {
	const proc = "/proc"
	self, err := os.Readlink(proc + "/self/ns/pid")
	if err != nil {
		return fmt.Errorf("find processes: %w", err)
	}
	entries, err := os.ReadDir(proc)
	if err != nil {
		return fmt.Errorf("find processes: %w", err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		dir := filepath.Join(proc, entry.Name())
		add := wanted(dir)
		if add == nil {
			continue
		}
		if ns, err := os.Readlink(dir + "/ns/pid"); err != nil || ns != self {
			continue
		}
		p, err := read(dir, pid)
		if errors.Is(err, ErrGone) {
			continue
		}
		if err != nil {
			return err
		}
		add(p)
	}
	return nil
}

func (m Match) inControlGroup(dir string) bool {
	if m.ControlGroup == "" || m.ControlGroup == "/" {
		return false
	}
	data, err := os.ReadFile(dir + "/cgroup")
	if err != nil {
		return false
	}
	return controlGroupIn(data, m.ControlGroup)
}

// controlGroupIn says whether a cgroups(7) /proc/PID/cgroup file names group,
// or one below it, in the hierarchy that systemd keeps.
func controlGroupIn(data []byte, group string) bool {
	for line := range bytes.Lines(data) {
		parts := strings.SplitN(strings.TrimSuffix(string(line), "\n"), ":", 3)
		if len(parts) != 3 || (parts[1] != "name=systemd" && parts[1] != "") {
			continue
		}
		if parts[2] == group || strings.HasPrefix(parts[2], group+"/") {
			return true
		}
	}
	return false
}

func (m Match) isProgram(dir string) bool {
	if len(m.Programs) == 0 {
		return false
	}
	exe, err := os.Readlink(dir + "/exe")
	if err != nil {
		return false
	}
	exe = strings.TrimSuffix(exe, " (deleted)")
	if !slices.Contains(m.Programs, filepath.Dir(exe)) && !slices.Contains(m.Programs, exe) {
		return false
	}
	if m.Name == "" {
		return true
	}
	comm, err := os.ReadFile(dir + "/comm")
	return err == nil && strings.TrimSpace(string(comm)) == m.Name
}

func (m Match) hasSign(dir string) bool {
	if cwd, err := os.Readlink(dir + "/cwd"); err == nil && cwd == m.Dir {
		return true
	}
	return hasWord(dir+"/environ", m.Environ) || hasWord(dir+"/cmdline", m.Argument) || hasOpen(dir+"/fd", m.File)
}

func (m Match) hasTitle(dir string) bool {
	if m.Title == "" {
		return false
	}
	data, err := os.ReadFile(dir + "/cmdline")
	return err == nil && strings.HasPrefix(string(data), m.Title)
}

// hasWord says whether a file of words that end in zero bytes has this one.
func hasWord(path, word string) bool {
	if word == "" {
		return false
	}
	data, err := os.ReadFile(path)
	return err == nil && slices.Contains(strings.Split(string(data), "\x00"), word)
}

// HasOpen says whether one of the process's descriptors is of that very file.
func (p Process) HasOpen(file os.FileInfo) (bool, error) {
	dir := fmt.Sprintf("/proc/%d/fd", p.PID)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil // it has ended
	}
	if err != nil {
		return false, fmt.Errorf("list the files of %s: %w", p, err)
	}
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		return err == nil && os.SameFile(info, file)
	}), nil
}

// hasOpen says whether one of the process's descriptors, which dir lists, is of
// that file. One that was removed still counts.
func hasOpen(dir, file string) bool {
	if file == "" {
		return false
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		link, err := os.Readlink(filepath.Join(dir, e.Name()))
		return err == nil && strings.TrimSuffix(link, " (deleted)") == file
	})
}

// ErrGone says that a process has ended.
var ErrGone = errors.New("process is gone")

// read returns ErrGone for a process that has ended, a zombie included.
func read(dir string, pid int) (Process, error) {
	data, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return Process{}, ErrGone
	}
	name, state, start, err := parseStat(data)
	if err != nil {
		return Process{}, fmt.Errorf("%s/stat: %w", dir, err)
	}
	if state == 'Z' || state == 'X' {
		return Process{}, ErrGone
	}
	return Process{PID: pid, Start: start, Name: name, State: state}, nil
}

// parseStat takes name, state and start time from proc(5) stat. The name may
// hold spaces and parentheses, so the fields are counted from the last ")".
func parseStat(data []byte) (name string, state byte, start uint64, err error) {
	text := string(data)
	left, right := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if left < 0 || right < left {
		return "", 0, 0, errors.New("no name in parentheses")
	}
	rest := strings.Fields(text[right+1:])
	const startField = 22 - 3 // field 3, the state, is rest[0]
	if len(rest) <= startField || len(rest[0]) != 1 {
		return "", 0, 0, errors.New("too few fields")
	}
	start, err = strconv.ParseUint(rest[startField], 10, 64)
	if err != nil {
		return "", 0, 0, fmt.Errorf("start time: %w", err)
	}
	return text[left+1 : right], rest[0][0], start, nil
}

// Names is a short list of processes for a person, at most five of them.
func Names(ps []Process) string {
	const most = 5
	texts := make([]string, 0, most+1)
	for i, p := range ps {
		if i == most {
			texts = append(texts, fmt.Sprintf("and %d more", len(ps)-most))
			break
		}
		texts = append(texts, p.String())
	}
	return strings.Join(texts, ", ")
}
