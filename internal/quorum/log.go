// SPDX-License-Identifier: Apache-2.0

package quorum

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// logger hands on what etcd logs, a level lower than etcd thinks: what it warns
// of is its daily life.
type logger struct {
	slog *slog.Logger
	// died is called when etcd would end the program; the goroutine that wanted
	// to ends instead. May be nil.
	died func(error)
	// removed is called when etcd has heard from the others that it is a member no more,
	// which its own data need not know yet. May be nil.
	removed func()
}

// zap is the logger in etcd's terms.
func (l logger) zap() *zap.Logger {
	return zap.New(&core{log: l.slog, removed: l.removed}, zap.WithFatalHook(deathbed{l.died}), zap.WithPanicHook(deathbed{l.died}))
}

// deathbed is what zap calls instead of os.Exit and panic.
type deathbed struct{ died func(error) }

func (d deathbed) OnWrite(entry *zapcore.CheckedEntry, fields []zapcore.Field) {
	if d.died != nil {
		err := fmt.Errorf("etcd gave up: %s", entry.Message)
		for _, f := range fields {
			if cause, ok := f.Interface.(error); ok && f.Type == zapcore.ErrorType {
				err = fmt.Errorf("%w: %w", err, cause)
			}
		}
		d.died(err)
	}
	runtime.Goexit()
}

// core is a zapcore.Core that writes to slog.
type core struct {
	log     *slog.Logger
	removed func()
	with    []zapcore.Field
}

func level(l zapcore.Level) slog.Level {
	switch {
	case l <= zapcore.DebugLevel: // each transaction of the database
		return slog.LevelDebug - 4
	case l == zapcore.InfoLevel:
		return slog.LevelDebug
	case l == zapcore.WarnLevel:
		return slog.LevelInfo
	case l == zapcore.ErrorLevel:
		return slog.LevelWarn
	}
	return slog.LevelError
}

func (c *core) Enabled(l zapcore.Level) bool {
	// Warnings are listened to, whoever reads them: see serverError.
	return l == zapcore.WarnLevel || c.log.Enabled(context.Background(), level(l))
}

func (c *core) With(fields []zapcore.Field) zapcore.Core {
	return &core{log: c.log, removed: c.removed, with: append(c.with[:len(c.with):len(c.with)], fields...)}
}

// retries is what the client says forty times a second of each request while there is
// no leader.
const retries = "retrying of unary invoker failed"

// serverError is what etcd says before it stops by itself, with memberRemoved as the error
// where that is the reason. Nothing but its log tells.
const serverError, memberRemoved = "server error", "permanently removed from the cluster"

func (c *core) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if entry.Message == retries {
		entry.Level = zapcore.DebugLevel
	}
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

func (c *core) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	enc := zapcore.NewMapObjectEncoder()
	var attrs []slog.Attr
	for _, list := range [][]zapcore.Field{c.with, fields} {
		for _, f := range list {
			f.AddTo(enc)
			attrs = append(attrs, slog.Any(f.Key, enc.Fields[f.Key]))
		}
	}
	if err, is := enc.Fields["error"].(string); is && c.removed != nil && entry.Message == serverError && strings.Contains(err, memberRemoved) {
		c.removed()
	}
	c.log.LogAttrs(context.Background(), level(entry.Level), "etcd: "+entry.Message, attrs...)
	return nil
}

func (c *core) Sync() error { return nil }
