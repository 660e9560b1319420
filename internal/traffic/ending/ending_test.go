// SPDX-License-Identifier: Apache-2.0

package ending

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestOf(t *testing.T) {
	op := func(err error) error { return fmt.Errorf("read: %w", &net.OpError{Op: "read", Err: err}) }
	for _, tt := range []struct {
		err  error
		want Ending
	}{
		{fmt.Errorf("421 bye: %w", ErrAnnounced), Announced},
		{errors.Join(ErrAnnounced, io.EOF), Announced},
		{op(io.EOF), EOF},
		{io.ErrUnexpectedEOF, EOF},
		{op(syscall.ECONNRESET), Reset},
		{op(syscall.EPIPE), Reset},
		{op(syscall.ECONNREFUSED), Refused},
		{op(syscall.EHOSTUNREACH), Unreachable},
		{op(syscall.ENETUNREACH), Unreachable},
		{op(syscall.ETIMEDOUT), Timeout},
		{os.ErrDeadlineExceeded, Timeout},
		{context.DeadlineExceeded, Timeout},
		{context.Canceled, Stopped},
		{op(net.ErrClosed), Stopped},
		{errors.New("gibberish"), Other},
	} {
		if got := Of(tt.err); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.err, got, tt.want)
		}
	}
}
