// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/mailha/mailha/internal/state"
)

// Codes of faults.
const (
	CodeBadRequest  = "bad_request" // 400: the request itself is wrong
	CodeForbidden   = "forbidden"   // 403: the caller may only look
	CodeNotFound    = "not_found"   // 404: the cluster has nothing of that name
	CodeRefused     = "refused"     // 409: it cannot be done as things are
	CodeConflict    = "conflict"    // 409: somebody else was quicker
	CodeInvalid     = "invalid"     // 422: the configuration is wrong
	CodeFailed      = "failed"      // 500: mailhad's own fault
	CodeUnavailable = "unavailable" // 503: most of the cluster cannot be reached
)

// Error is the sentence, with what to do.
func (f *Fault) Error() string {
	if f.Hint == "" {
		return f.What
	}
	return f.What + "; " + f.Hint
}

func fault(code, hint, format string, args ...any) *Fault {
	return &Fault{Code: code, What: fmt.Sprintf(format, args...), Hint: hint}
}

func (f *Fault) status() int {
	switch f.Code {
	case CodeBadRequest:
		return http.StatusBadRequest
	case CodeForbidden:
		return http.StatusForbidden
	case CodeNotFound:
		return http.StatusNotFound
	case CodeRefused, CodeConflict:
		return http.StatusConflict
	case CodeInvalid:
		return http.StatusUnprocessableEntity
	case CodeUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// faultOf is what a caller is told of an error.
func faultOf(err error) *Fault {
	var f *Fault
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, state.ErrConflict):
		return fault(CodeConflict, "look what is asked for now, and try again", "somebody else changed the same thing at this moment")
	case errors.Is(err, state.ErrOwned):
		return fault(CodeRefused, "only its owner may give it up, as long as that is present", "%s", err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fault(CodeUnavailable, `see which nodes are down: mailhactl status; then look whether it was done: mailhactl events`,
			"etcd did not answer in time, and it is not known whether this was done")
	}
	return fault(CodeFailed, "it may have been done all the same: mailhactl events", "%s", err)
}
