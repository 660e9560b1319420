// SPDX-License-Identifier: Apache-2.0

package account

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts")
	for _, tt := range []struct {
		text, fault string
		want        []Account
	}{
		{text: "a:b\n", want: []Account{{"a", "b"}}},
		{text: "a:b c:d\r\ne:", want: []Account{{"a", "b c:d"}, {"e", ""}}},
		{text: "", fault: "no accounts"},
		{text: "a:b\nsecret\n", fault: "line 2"},
		{text: ":secret\n", fault: "line 1"},
	} {
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Read(path)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q: -want +got\n%s", tt.text, diff)
		}
		if (err != nil) != (tt.fault != "") || err != nil && (!strings.Contains(err.Error(), tt.fault) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%q: %v, want %q", tt.text, err, tt.fault)
		}
	}
}

func TestFind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts")
	if err := os.WriteFile(path, []byte("a:b\nc:d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Find(path, "c"); err != nil || got.Password != "d" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := Find(path, "b"); err == nil {
		t.Error("found an account that is not there")
	}
}
