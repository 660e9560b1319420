// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/mailha/mailha/internal/lab"
)

const (
	cibFile     = "/var/lib/pacemaker/cib/cib.xml"
	fenceDevice = "fence-lab"
)

type file struct {
	data []byte
	mode os.FileMode
}

// configure makes the files that all nodes get.
func configure(l *lab.Lab, opts Options) (map[string]file, error) {
	key := make([]byte, 256)
	rand.Read(key) // never fails
	cib, err := cib(opts)
	if err != nil {
		return nil, err
	}
	return map[string]file{
		"/etc/corosync/corosync.conf": {[]byte(corosyncConf(l, opts)), 0o644},
		"/etc/corosync/authkey":       {key, 0o400},
		cibFile:                       {cib, 0o600},
	}, nil
}

// install puts the files in place. The CIB has to belong to the user that
// Pacemaker runs as.
func install(ctx context.Context, n *lab.Node, files map[string]file) error {
	for path, f := range files {
		if err := n.Push(path, f.data, f.mode); err != nil {
			return err
		}
	}
	_, err := n.Output(ctx, "chown", "hacluster:haclient", cibFile)
	return err
}

// corosyncConf writes a corosync.conf(5).
func corosyncConf(l *lab.Lab, opts Options) string {
	var b strings.Builder
	b.WriteString("totem {\n\tversion: 2\n\tcluster_name: lab\n\ttransport: knet\n\tcrypto_cipher: aes256\n\tcrypto_hash: sha256\n")
	for _, k := range slices.Sorted(maps.Keys(opts.Totem)) {
		fmt.Fprintf(&b, "\t%s: %s\n", k, opts.Totem[k])
	}
	b.WriteString("}\nnodelist {\n")
	for i, n := range l.Nodes() {
		fmt.Fprintf(&b, "\tnode {\n\t\tname: %s\n\t\tnodeid: %d\n\t\tring0_addr: %s\n\t}\n", n.Name(), i+1, n.Addr4())
	}
	b.WriteString("}\nquorum {\n\tprovider: corosync_votequorum\n")
	if len(l.Nodes()) == 2 {
		b.WriteString("\ttwo_node: 1\n")
	}
	b.WriteString("}\nlogging {\n\tto_syslog: yes\n\tto_stderr: no\n}\n")
	return b.String()
}

type nvpair struct {
	ID    string `xml:"id,attr"`
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type cibXML struct {
	XMLName      xml.Name   `xml:"cib"`
	ValidateWith string     `xml:"validate-with,attr"`
	Epoch        int        `xml:"epoch,attr"`
	NumUpdates   int        `xml:"num_updates,attr"`
	AdminEpoch   int        `xml:"admin_epoch,attr"`
	Properties   properties `xml:"configuration>crm_config>cluster_property_set"`
	Nodes        struct{}   `xml:"configuration>nodes"`
	Resources    resources  `xml:"configuration>resources"`
	Constraints  struct{}   `xml:"configuration>constraints"`
	Status       struct{}   `xml:"status"`
}

type properties struct {
	ID    string   `xml:"id,attr"`
	Pairs []nvpair `xml:"nvpair"`
}

type resources struct { // has to be there, be it empty
	Primitive *primitive `xml:"primitive"`
}

type primitive struct {
	ID    string `xml:"id,attr"`
	Class string `xml:"class,attr"`
	Type  string `xml:"type,attr"`
}

// cib makes the configuration that Pacemaker starts with. It has to be there
// before the first start: by default the first election of a controller waits
// 20 s (dc-deadtime) for others to show up.
func cib(opts Options) ([]byte, error) {
	set := map[string]string{
		"dc-deadtime":     "2s",
		"stonith-enabled": fmt.Sprint(!opts.NoFencing),
	}
	maps.Copy(set, opts.Properties)
	c := cibXML{ValidateWith: "pacemaker-3.8", Epoch: 1, Properties: properties{ID: "cib-bootstrap-options"}}
	for _, k := range slices.Sorted(maps.Keys(set)) {
		c.Properties.Pairs = append(c.Properties.Pairs, nvpair{"cib-bootstrap-options-" + k, k, set[k]})
	}
	if !opts.NoFencing {
		c.Resources.Primitive = &primitive{ID: fenceDevice, Class: "stonith", Type: "fence_lab"}
	}
	return xml.MarshalIndent(c, "", "  ")
}
