// SPDX-License-Identifier: Apache-2.0

package quorum

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Advise says what is wrong with an etcd that somebody else runs, in sentences
// for the operator; none is best. An endpoint that does not answer is in the error.
func Advise(ctx context.Context, client *clientv3.Client) ([]string, error) {
	var sentences []string
	var errs []error
	for _, url := range client.Endpoints() {
		status, err := client.Status(ctx, url)
		if err != nil {
			errs = append(errs, fmt.Errorf("ask etcd at %s how it is: %w", url, err))
			continue
		}
		if older(status.Version) {
			sentences = append(sentences, fmt.Sprintf("etcd at %s has the version %s, in which a leader that was cut off may end or prolong leases wrongly: update it to 3.4.31, 3.5.13 or a later one", url, status.Version))
		}
		for _, e := range status.Errors { // alarms
			sentences = append(sentences, fmt.Sprintf("etcd at %s: %s", url, e))
		}
	}
	return sentences, errors.Join(errs...)
}

// older says whether a version lacks etcd's change #16822: a leader makes sure
// that it still is one before it touches leases.
func older(version string) bool {
	var major, minor, patch int
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); err != nil {
		return false // nothing is known
	}
	switch {
	case major != 3:
		return major < 3
	case minor == 4:
		return patch < 31
	case minor == 5:
		return patch < 13
	}
	return minor < 4
}
