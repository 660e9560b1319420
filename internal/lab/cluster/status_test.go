// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"encoding/xml"
	"strings"
	"testing"
)

const monXML = `<pacemaker-result api-version="2.25">
<summary><current_dc present="true" version="2.1.5" name="node1" id="1" with_quorum="true"/></summary>
<nodes>
<node name="node1" online="true" standby="false" pending="false" unclean="false"/>
<node name="node2" online="true" pending="true"/>
<node name="node3" online="false" unclean="true"/>
</nodes>
<resources>
<resource id="fence-lab" role="Started" failed="false"><node name="node1" id="1"/></resource>
<resource id="off" role="Stopped"/>
<group id="g"><resource id="p1" role="Started"><node name="node2"/></resource><resource id="p2" role="Starting"><node name="node2"/></resource></group>
<clone id="c"><resource id="q" role="Promoted"><node name="node1"/></resource><resource id="q" role="Started"><node name="node2"/></resource></clone>
</resources></pacemaker-result>`

func TestStatus(t *testing.T) {
	s, err := parseStatus([]byte(monXML))
	if err != nil {
		t.Fatal(err)
	}
	if !s.DC.Present || !s.DC.Quorum || s.DC.Name != "node1" {
		t.Errorf("DC: %+v", s.DC)
	}
	for node, want := range map[string]bool{"node1": true, "node2": false, "node3": false, "node4": false} {
		if got := s.online(node); got != want {
			t.Errorf("%s online: %v", node, got)
		}
	}
	for _, tt := range []struct {
		resource, node string
		want           bool
	}{
		{"fence-lab", "node1", true}, {"fence-lab", "node2", false}, {"off", "node1", false},
		{"p1", "node2", true}, {"p2", "node2", false}, {"q", "node1", true}, {"q", "node2", true}, {"none", "node1", false},
	} {
		if got := s.runsOn(tt.resource, tt.node); got != tt.want {
			t.Errorf("%s on %s: %v", tt.resource, tt.node, got)
		}
	}
	if _, err := parseStatus([]byte("crm_mon: not connected")); err == nil {
		t.Error("no XML: no error")
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add([]byte(monXML))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := parseStatus(data); err == nil {
			s.runsOn("p1", "node2")
		}
	})
}

func TestCIB(t *testing.T) {
	data, err := cib(Options{Properties: map[string]string{"dc-deadtime": "9s", "x": `<&"`}})
	if err != nil {
		t.Fatal(err)
	}
	var c cibXML
	if err := xml.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, p := range c.Properties.Pairs {
		got[p.Name] = p.Value
	}
	if got["dc-deadtime"] != "9s" || got["stonith-enabled"] != "true" || got["x"] != `<&"` || c.Resources.Primitive == nil {
		t.Errorf("got\n%s", data)
	}
	data, err = cib(Options{NoFencing: true})
	if err != nil || strings.Contains(string(data), "fence_lab") || !strings.Contains(string(data), "<resources>") || !strings.Contains(string(data), `name="stonith-enabled" value="false"`) {
		t.Errorf("without fencing: got\n%s", data)
	}
}
