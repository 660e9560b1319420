// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func exampleTable() (Table, *Text, *Duration) {
	name, wait := Text(""), Duration(20*time.Second)
	return Table{
		{Name: "name", Value: &name, Required: true, Short: "A name"},
		{Name: "drain_timeout", Value: &wait, Short: "A time"},
	}, &name, &wait
}

func TestParseReportsEverythingAtOnce(t *testing.T) {
	table, _, wait := exampleTable()
	err := table.Parse(map[string]string{"drain_timeout": "soon"})
	if !errors.Is(err, ErrParameter) {
		t.Fatalf("error %v is no ErrParameter", err)
	}
	for _, want := range []string{"parameter name: required", `parameter drain_timeout="soon"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	if *wait != Duration(20*time.Second) {
		t.Errorf("a bad text replaced the default by %s", wait)
	}
}

func TestParseSetsWhatItCan(t *testing.T) {
	table, name, _ := exampleTable()
	if err := table.Parse(map[string]string{"name": " mx ", "drain_timeout": "-1"}); err == nil {
		t.Fatal("a negative time was taken")
	}
	if *name != "mx" {
		t.Errorf("name = %q, want the good parameter set in spite of the bad one", *name)
	}
}

func TestUnknownSuggestsTheClosest(t *testing.T) {
	table, _, _ := exampleTable()
	err := table.Unknown(map[string]string{"name": "x", "drain_timeuot": "3", "zzz": "1"})
	var pe *ParamError
	if !errors.As(err, &pe) {
		t.Fatalf("error %v is no ParamError", err)
	}
	if text := err.Error(); !strings.Contains(text, "did you mean drain_timeout?") || strings.Count(text, "did you mean") != 1 {
		t.Errorf("want a suggestion for the misspelt one alone, got:\n%s", text)
	}
	if err := table.Unknown(map[string]string{"name": "x"}); err != nil {
		t.Errorf("known name: %v", err)
	}
}

func TestEditDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"nic", "nic", 0}, {"nci", "nic", 2}, {"ip", "nic", 2}, {"config_file", "config_dir", 3}} {
		if got := editDistance(tt.a, tt.b); got != tt.want {
			t.Errorf("editDistance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := editDistance(tt.b, tt.a); got != tt.want {
			t.Errorf("editDistance(%q, %q) = %d, want %d", tt.b, tt.a, got, tt.want)
		}
	}
}
