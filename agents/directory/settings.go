// SPDX-License-Identifier: Apache-2.0

package directory

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mailha/mailha/agents"
	"github.com/mailha/mailha/agents/ldap"
)

// settings is what we have to know of a server's configuration: slapd-config(5).
type settings struct {
	databases []database // those that have roles, one at least
}

// database is one that replicas share, or that could be shared.
type database struct {
	entry     string // its own in cn=config
	suffix    string
	directory string
	readOnly  bool
	provider  bool // takes writes beside the changes that it follows
	sources   []source
}

// settingsOf makes sense of the entries of cn=config.
func settingsOf(entries []ldap.Entry) (settings, error) {
	var s settings
	var all []database
	for _, e := range entries {
		if e.Value("olcDatabase") == "{0}config" && len(e.Values("olcSyncrepl")) > 0 {
			return s, errors.New("cn=config itself is replicated, so that no server can be read-only by itself; take olcSyncrepl out of olcDatabase={0}config")
		}
		d, err := databaseOf(e)
		if err != nil {
			return s, err
		}
		if d.suffix != "" && d.directory != "" {
			all = append(all, d)
		}
	}
	// What nobody follows, such as an access log, is no business of roles.
	s.databases = slices.DeleteFunc(slices.Clone(all), func(d database) bool { return len(d.sources) == 0 })
	if len(s.databases) == 0 {
		s.databases = all
	}
	if len(s.databases) == 0 {
		return s, errors.New("there is no database with a suffix and a directory")
	}
	slices.SortFunc(s.databases, func(a, b database) int { return cmp.Compare(a.entry, b.entry) })
	return s, nil
}

func databaseOf(e ldap.Entry) (database, error) {
	d := database{
		entry:     e.DN,
		suffix:    e.Value("olcSuffix"),
		directory: filepath.Clean(cmp.Or(e.Value("olcDbDirectory"), ".")),
		readOnly:  e.Value("olcReadOnly") == "TRUE",
		provider:  e.Value("olcMultiProvider") == "TRUE" || e.Value("olcMirrorMode") == "TRUE", // the name up to 2.4
	}
	if d.directory == "." {
		d.directory = ""
	}
	for _, value := range e.Values("olcSyncrepl") {
		src, err := parseSource(value)
		if err != nil {
			return d, fmt.Errorf("olcSyncrepl of %s: %w", e.DN, err)
		}
		d.sources = append(d.sources, src)
	}
	return d, nil
}

// readSettings reads the files of a configuration directory, which a server that
// runs may be about to change.
func readSettings(dir string) (settings, error) {
	below := filepath.Join(dir, "cn=config")
	files, err := os.ReadDir(below)
	if err != nil {
		return settings{}, fmt.Errorf("%w: no configuration here: %w", agents.ErrInstalled, err)
	}
	var entries []ldap.Entry
	for _, file := range files {
		if name := file.Name(); !strings.HasPrefix(name, "olcDatabase=") || filepath.Ext(name) != ".ldif" {
			continue
		}
		path := filepath.Join(below, file.Name())
		data, err := os.ReadFile(path)
		if err != nil {
			return settings{}, fmt.Errorf("%w: read the configuration: %w", agents.ErrInstalled, err)
		}
		e, err := parseLDIF(string(data))
		if err != nil {
			return settings{}, fmt.Errorf("%w: %s: %w", agents.ErrNode, path, err)
		}
		e.DN += ",cn=config" // where the file is tells the rest
		entries = append(entries, e)
	}
	s, err := settingsOf(entries)
	if err != nil {
		return s, fmt.Errorf("%w: %s: %w", agents.ErrNode, dir, err)
	}
	return s, nil
}

// askSettings asks the running server for them.
func askSettings(c *ldap.Conn) (settings, error) {
	entries, err := c.Search(ldap.Query{Base: "cn=config", Scope: ldap.One, Filter: ldap.Present("olcDatabase"), Attributes: []string{
		"olcDatabase", "olcSuffix", "olcDbDirectory", "olcReadOnly", "olcMultiProvider", "olcMirrorMode", "olcSyncrepl"}})
	if err != nil {
		return settings{}, fmt.Errorf("%w (root must have the right \"manage\" on cn=config)", err)
	}
	return settingsOf(entries)
}
