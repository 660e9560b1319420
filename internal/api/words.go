// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"time"

	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

// asked says who asked for something, until when and why, at the end of a sentence.
func asked(w state.Wish, now time.Time) string {
	s := ", as " + w.By + " asked " + ago(w.Since, now)
	if !w.Until.IsZero() {
		s += ", for " + span(w.Until.Sub(now)) + " more"
	}
	if w.Why != "" {
		s += " (" + w.Why + ")"
	}
	return s
}

func ago(t, now time.Time) string { return span(now.Sub(t)) + " ago" }

func since(t, now time.Time) string {
	if t.IsZero() || now.Sub(t) < time.Second {
		return ""
	}
	return " (for " + span(now.Sub(t)) + ")"
}

// span rounds a span of time to what people say.
func span(d time.Duration) string {
	switch d = max(0, d); {
	case d < time.Minute:
		d = d.Round(time.Second)
	case d < 10*time.Hour:
		d = d.Round(time.Minute)
	case d < 48*time.Hour:
		d = d.Round(time.Hour)
	default:
		return fmt.Sprintf("%d days", int(d.Round(24*time.Hour)/(24*time.Hour)))
	}
	return resources.Span(d)
}

func colon(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}
