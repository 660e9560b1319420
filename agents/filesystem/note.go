// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// note is what a start leaves behind for a stop that knows nothing else.
type note struct {
	device string // path
	number uint64
	dir    string // without symbolic links
	files  uint64 // st_dev of the files on it; 0: not known yet
}

func (n note) text() []byte {
	return fmt.Appendf(nil, "device=%q\nnumber=%d\ndirectory=%q\nfiles=%d\nend\n", n.device, n.number, n.dir, n.files)
}

// parseNote wants the last line to be there: a note that was cut off says nothing.
func parseNote(text string) (note, error) {
	var n note
	complete := false
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		var err error
		switch name {
		case "device":
			n.device, err = strconv.Unquote(value)
		case "directory":
			n.dir, err = strconv.Unquote(value)
		case "number":
			n.number, err = strconv.ParseUint(value, 10, 64)
		case "files":
			n.files, err = strconv.ParseUint(value, 10, 64)
		case "end":
			complete = strings.HasSuffix(line, "\n")
		default:
			err = errors.New("unknown")
		}
		if err != nil {
			return note{}, fmt.Errorf("line %q: %w", line, err)
		}
	}
	if !complete {
		return note{}, errors.New("the end is missing")
	}
	return n, nil
}

// loadNote returns false when there is none: nothing was started here.
func loadNote(path string) (n note, found bool, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return note{}, false, nil
	}
	if err != nil {
		return note{}, false, fmt.Errorf("read what the start noted: %w", err)
	}
	if n, err = parseNote(string(data)); err != nil {
		return note{}, false, fmt.Errorf("read what the start noted from %s: %w", path, err)
	}
	return n, true, nil
}

// utab is where mount(8) keeps options of a mount that the kernel does not know.
const utab = "/run/mount/utab"

// label is an option for mount(8) that says whose mount it is.
func label(name string) string { return "x-mailha.resource=" + name }

// labelled finds what a start mounted whose note is lost.
func labelled(text, name string) (note, bool) {
	for line := range strings.Lines(text) {
		var n note
		ours := false
		for _, field := range strings.Fields(line) {
			key, value, _ := strings.Cut(field, "=")
			switch value = unescape(value); key {
			case "SRC":
				n.device = value
			case "TARGET":
				n.dir = value
			case "OPTS":
				for o := range strings.SplitSeq(value, ",") {
					ours = ours || o == label(name)
				}
			}
		}
		if ours && n.device != "" && n.dir != "" {
			return n, true
		}
	}
	return note{}, false
}
