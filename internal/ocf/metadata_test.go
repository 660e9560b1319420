// SPDX-License-Identifier: Apache-2.0

package ocf

import (
	"encoding/xml"
	"strings"
	"testing"

	"github.com/mailha/mailha/agents"
)

func TestMetadataNeedsNothing(t *testing.T) {
	code, stdout, stderr := call(t, &fake{}, []string{"thing", "meta-data"})
	if code != Success || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var doc struct {
		Name    string `xml:"name,attr"`
		Version string `xml:"version,attr"`
		API     string `xml:"version"`
	}
	if err := xml.Unmarshal([]byte(stdout), &doc); err != nil {
		t.Fatalf("%v in:\n%s", err, stdout)
	}
	if doc.API != "1.1" || doc.Version != "1.2.3" || doc.Name != "thing" {
		t.Errorf("API %q, version %q, name %q", doc.API, doc.Version, doc.Name)
	}
	for _, want := range []string{
		`<parameter name="name" unique="1" unique-group="name" required="1" reloadable="0">`,
		`<content type="string"></content>`,
		`<action name="monitor" timeout="30s" interval="60s" depth="20"></action>`,
		`<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd"`,
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("lacks %s:\n%s", want, stdout)
		}
	}
}

func TestMetadataEscapes(t *testing.T) {
	const hard = "less < more > both & 'one' \"two\" ]]> &lt;"
	const text = hard + "\n\nnext"
	typ := agents.Type{Name: "thing", Short: text, Long: text, New: func(agents.Env) agents.Agent { return &fake{name: hard} }}
	var b strings.Builder
	if err := writeMetadata(&b, typ, hard); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Version string `xml:"version,attr"`
		Short   string `xml:"shortdesc"`
		Long    string `xml:"longdesc"`
		Content []struct {
			Default string `xml:"default,attr"`
		} `xml:"parameters>parameter>content"`
	}
	if err := xml.Unmarshal([]byte(b.String()), &doc); err != nil {
		t.Fatalf("%v in:\n%s", err, b.String())
	}
	if doc.Short != text || doc.Long != text || doc.Version != hard || doc.Content[0].Default != hard {
		t.Errorf("of %q and %q became %+v", hard, text, doc)
	}
}
