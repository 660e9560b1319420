// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"slices"
	"strings"
	"time"
)

// Verdict is what became of a fault in the eyes of one monitor.
type Verdict string

// The verdicts.
const (
	Missed   Verdict = "no"       // it said that all is well
	Seen     Verdict = "yes"      // it failed
	Degraded Verdict = "degraded" // it said that the service serves but is not well
	Timeout  Verdict = "timeout"  // it had to be killed, which Pacemaker takes for a failure
)

// Sight is one call of a monitor while something was wrong.
type Sight struct {
	Monitor string  `json:"monitor"`
	Verdict Verdict `json:"verdict"`
	Code    int     `json:"code"` // exit code; that of timeout(1), 124 or 137, if it was killed
	Millis  float64 `json:"ms"`
	Said    string  `json:"said,omitempty"` // in one line
}

// sight judges an exit code of the OCF resource agent API, or of timeout(1).
func sight(monitor string, code int, took time.Duration, stderr string) Sight {
	s := Sight{Monitor: monitor, Code: code, Millis: millis(took), Verdict: Seen}
	switch code {
	case 0, 8: // well; promoted and well
		s.Verdict = Missed
		return s
	case 190, 191:
		s.Verdict = Degraded
	case 124, 137:
		s.Verdict = Timeout
		return s
	}
	s.Said = said(stderr)
	return s
}

// said is the reason that an agent gave, or else the last that it logged.
func said(stderr string) string {
	const reason = "ocf-exit-reason:"
	lines := slices.DeleteFunc(strings.Split(stderr, "\n"), func(l string) bool { return strings.TrimSpace(l) == "" })
	for _, l := range slices.Backward(lines) {
		if text, ok := strings.CutPrefix(l, reason); ok {
			return strings.TrimSpace(text)
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return strings.TrimSpace(lines[len(lines)-1])
}

// Row is one fault of one service.
type Row struct {
	Fault   string  `json:"fault"`
	Service string  `json:"service"`
	Ours    []Sight `json:"ours"`
	Theirs  []Sight `json:"theirs"`
}
