// SPDX-License-Identifier: Apache-2.0

package quorum

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"

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
}

// zap is the logger in etcd's terms.
func (l logger) zap() *zap.Logger {
	return zap.New(&core{log: l.slog}, zap.WithFatalHook(deathbed{l.died}), zap.WithPanicHook(deathbed{l.died}))
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
	log  *slog.Logger
	with []zapcore.Field
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
	return c.log.Enabled(context.Background(), level(l))
}

func (c *core) With(fields []zapcore.Field) zapcore.Core {
	return &core{log: c.log, with: append(c.with[:len(c.with):len(c.with)], fields...)}
}

// retries is what the client says forty times a second of each request while there is
// no leader.
const retries = "retrying of unary invoker failed"

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
	c.log.LogAttrs(context.Background(), level(entry.Level), "etcd: "+entry.Message, attrs...)
	return nil
}

func (c *core) Sync() error { return nil }
