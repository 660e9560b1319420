// SPDX-License-Identifier: Apache-2.0

package quorum

import (
	"errors"
	"io"
	"log/slog"
	"testing"

	"go.uber.org/zap"
)

// A member hears from the others that it was removed before its own data say so, and tells
// by its log alone.
func TestRemovalIsHeard(t *testing.T) {
	for name, tt := range map[string]struct {
		say  func(*zap.Logger)
		want bool
	}{
		"removed": {func(l *zap.Logger) {
			l.Warn("server error", zap.Error(errors.New("the member has been permanently removed from the cluster")))
		}, true},
		"by a part of it": {func(l *zap.Logger) {
			l.With(zap.String("part", "raft")).Warn("server error", zap.Error(errors.New("the member has been permanently removed from the cluster")))
		}, true},
		"another error":   {func(l *zap.Logger) { l.Warn("server error", zap.Error(errors.New("no space left on device"))) }, false},
		"another message": {func(l *zap.Logger) { l.Warn("the member has been permanently removed from the cluster") }, false},
	} {
		heard := false
		quiet := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError}))
		tt.say(logger{slog: quiet, removed: func() { heard = true }}.zap())
		if heard != tt.want {
			t.Errorf("%s: heard %t, want %t", name, heard, tt.want)
		}
	}
}
