// SPDX-License-Identifier: Apache-2.0

package labtests

import (
	"encoding/xml"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mailha/mailha/internal/lab"
)

// element is one of a cluster's configuration.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []element  `xml:",any"`
}

func (e element) attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// meaning is the same text for configurations that mean the same: names that the
// tools choose by themselves, the order, and what is the default anyway are left out.
func (e element) meaning() string {
	var attrs, children []string
	name := e.XMLName.Local
	named := slices.Contains([]string{"primitive", "group", "clone"}, name)
	for _, a := range e.Attrs {
		switch {
		case a.Name.Local == "id" && !named:
		case a.Name.Local == "interval" && a.Value == "0":
			attrs = append(attrs, "interval=0s")
		case a.Name.Local == "with-rsc-role" && a.Value == "Started":
		case strings.HasSuffix(a.Name.Local, "-action") && e.attr("first-action") == "start" && e.attr("then-action") == "start":
		default:
			attrs = append(attrs, a.Name.Local+"="+a.Value)
		}
	}
	for _, c := range e.Children {
		// One of the tools sets what the metadata suggest for those that are not named.
		if c.XMLName.Local == "op" && !slices.Contains([]string{"start", "stop", "promote", "demote", "monitor"}, c.attr("name")) {
			continue
		}
		children = append(children, strings.ReplaceAll(c.meaning(), "\n", "\n\t"))
	}
	slices.Sort(attrs)
	if name != "group" { // whose order is a meaning
		slices.Sort(children)
	}
	return strings.Join(append([]string{fmt.Sprint(name, " ", strings.Join(attrs, " "))}, children...), "\n\t")
}

// Each parameter set is there for crmsh and for pcs, and means the same.
func TestSetsAreAlike(t *testing.T) {
	n := newPlace(t, lab.Config{}).node
	contrib(t, n)
	files, err := filepath.Glob("../../contrib/pacemaker/*.crm")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d parameter sets: %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".crm")
		t.Run(name, func(t *testing.T) {
			run(t, n, `cd /root; cibadmin --empty >crm.xml; cp crm.xml pcs.xml
				CIB_file=/root/crm.xml crm -F configure load update contrib/pacemaker/`+name+`.crm 2>&1
				# Those that want no file for it change the running cluster, which there is not.
				sed 's,^set -eu,&\npcs() { command pcs -f /root/pcs.xml "$@"; },' contrib/pacemaker/`+name+`.pcs >set.pcs
				sh set.pcs /root/pcs.xml 2>&1`)
			var meanings []string
			for _, tool := range []string{"crm", "pcs"} {
				var cib element
				if err := xml.Unmarshal([]byte(run(t, n, "cat /root/"+tool+".xml")), &cib); err != nil {
					t.Fatal(err)
				}
				var parts []string
				for _, c := range cib.Children {
					for _, section := range c.Children {
						if slices.Contains([]string{"resources", "constraints", "rsc_defaults"}, section.XMLName.Local) {
							parts = append(parts, section.meaning())
						}
					}
				}
				meanings = append(meanings, strings.Join(parts, "\n"))
			}
			if !strings.Contains(meanings[0], "primitive") || meanings[0] != meanings[1] {
				t.Errorf("crmsh:\n%s\n\npcs:\n%s", meanings[0], meanings[1])
			}
		})
	}
}
