// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for _, tt := range []struct {
		text string
		want time.Duration
		ok   bool
	}{
		{"20", 20 * time.Second, true},
		{"0", 0, true},
		{"1.5", 1500 * time.Millisecond, true},
		{"500ms", 500 * time.Millisecond, true},
		{"2m", 2 * time.Minute, true},
		{"24h", 24 * time.Hour, true},
		{"25h", 0, false},
		{"-1", 0, false},
		{"-1s", 0, false},
		{"NaN", 0, false},
		{"Inf", 0, false},
		{"1e9", 0, false},
		{"20 s", 0, false},
		{"forever", 0, false},
	} {
		d := Duration(7 * time.Second)
		err := d.Set(tt.text)
		if tt.ok != (err == nil) {
			t.Errorf("Set(%q): %v", tt.text, err)
			continue
		}
		want := tt.want
		if !tt.ok {
			want = 7 * time.Second
		}
		if time.Duration(d) != want {
			t.Errorf("after Set(%q): %s, want %s", tt.text, time.Duration(d), want)
		}
	}
}

// What is shown as a default must be accepted as a value, with the same meaning.
func TestDurationTextReadsBack(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond, 20 * time.Second, time.Minute, 90 * time.Second, time.Hour, 10 * time.Hour, time.Hour + time.Minute, 24 * time.Hour} {
		v := Duration(d)
		text := v.String()
		var back Duration
		if err := back.Set(text); err != nil || time.Duration(back) != d {
			t.Errorf("%s is shown as %q, which reads as %s (%v)", d, text, time.Duration(back), err)
		}
	}
}

func TestValuesRefuse(t *testing.T) {
	for _, tt := range []struct {
		name string
		v    Value
		bad  []string
		good []string
	}{
		{"Bool", new(Bool), []string{"2", "maybe", "TRUE ish"}, []string{"1", "yes", "TRUE", "off"}},
		{"Path", new(Path), []string{"etc/postfix", "./x"}, []string{"/etc/postfix", "/etc//postfix/"}},
		{"Text", new(Text), []string{"a\nb", "a\x00b", "\x7f"}, []string{"two words", "ü"}},
		{"Ports", new(Ports), []string{"0", "65536", "-1", "smtp", "25,x"}, []string{"25", "25, 587 465", "65535"}},
		{"GateMode", new(GateMode), []string{"open", "REFUSE"}, []string{"hold", "refuse"}},
		{"Number", new(Number), []string{"-1", "1.5", "1000000001", "99999999999999999999", "many"}, []string{"0", "14", "1000000000"}},
		{"label", new(label), []string{"longer-than-allowed", "a:b", "a b", "a/b"}, []string{"mail"}},
		{"prefixBits", new(prefixBits), []string{"0", "129", "/24", "-1"}, []string{"1", "24", "128"}},
		{"preferredLifetime", new(preferredLifetime), []string{"1", "never"}, []string{"0", "forever"}},
		{"count", new(count), []string{"0", "11", "x"}, []string{"1", "10"}},
		{"AddressList", new(AddressList), []string{"10.0.0.1.2", "127.0.0.1", "10.0.0.1/33", "10.0.0.1 10.0.0.1"}, []string{"10.0.0.1", "10.0.0.1/24, fd00::1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, s := range tt.bad {
				before := tt.v.String()
				if err := tt.v.Set(s); err == nil {
					t.Errorf("Set(%q) took it", s)
				}
				if after := tt.v.String(); after != before {
					t.Errorf("Set(%q) failed and still changed the value from %q to %q", s, before, after)
				}
			}
			for _, s := range tt.good {
				if err := tt.v.Set(s); err != nil {
					t.Errorf("Set(%q): %v", s, err)
				}
			}
		})
	}
}
