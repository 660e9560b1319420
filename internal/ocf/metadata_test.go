// SPDX-License-Identifier: Apache-2.0

package ocf

import (
	"encoding/xml"
	"strings"
	"testing"
)

func TestMetadataNeedsNothing(t *testing.T) {
	code, stdout, stderr := call(t, &fake{}, []string{"thing", "meta-data"})
	if code != Success || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var doc xmlAgent
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
