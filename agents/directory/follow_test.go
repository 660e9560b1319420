// SPDX-License-Identifier: Apache-2.0

package directory

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// What was read last counts if the time is over in the middle of the next look: how far
// behind a replica is says more than that the time was over.
func TestUntilHas(t *testing.T) {
	need := stateOf(csn("001", 2*time.Second))
	behind := stateOf(csn("001", time.Second))
	late := fmt.Errorf("search: %w", context.DeadlineExceeded)
	broken := errors.New("broken")
	for _, tt := range []struct {
		name  string
		looks []error // what each of them ends in
		once  bool
		want  error
	}{
		{name: "in the middle of the second look", looks: []error{nil, late}},
		{name: "in the middle of the first one", looks: []error{late}, want: late},
		{name: "once", looks: []error{nil}, once: true},
		{name: "the server is gone", looks: []error{nil, broken}, want: broken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			has, err := untilHas(t.Context(), need, tt.once, func() (state, error) {
				err := tt.looks[0]
				tt.looks = tt.looks[1:]
				if err != nil {
					return nil, err
				}
				return behind, nil
			})
			if !errors.Is(err, tt.want) || err == nil && has.lacks(behind) {
				t.Errorf("has %v, %v", has, err)
			}
		})
	}
}
