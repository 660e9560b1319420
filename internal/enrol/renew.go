// SPDX-License-Identifier: Apache-2.0

package enrol

import (
	"context"
	"errors"
	"time"

	"github.com/mailha/mailha/internal/trust"
	"github.com/mailha/mailha/resources"
)

// Renew makes this node's certificate anew if less than eight months of it are left, and
// says whether it did and until when the certificate is good. A node without the authority's
// key, which is a witness, asks the others one after the other.
func Renew(ctx context.Context, c *resources.Cluster, n resources.Node, now time.Time) (renewed bool, end time.Time, err error) {
	dir := trust.Dir(c.TLSDir)
	renewed, err = dir.Renew(subject(n), now)
	if errors.Is(err, trust.ErrNoAuthority) {
		renewed, err = renewElsewhere(ctx, dir, c, n, err)
	}
	cert, readErr := dir.Certificate()
	if readErr != nil {
		return renewed, time.Time{}, errors.Join(err, readErr)
	}
	return renewed, cert.NotAfter, err
}

func renewElsewhere(ctx context.Context, dir trust.Dir, c *resources.Cluster, n resources.Node, why error) (bool, error) {
	const patience = 10 * time.Second // with each
	errs := []error{why}
	for _, o := range c.Nodes {
		if o.Name == n.Name || o.Witness || len(o.Addresses) == 0 {
			continue
		}
		asking, cancel := context.WithTimeout(ctx, patience)
		err := dir.RenewFrom(asking, at(o, Port))
		cancel()
		if err == nil {
			return true, nil
		}
		errs = append(errs, err)
	}
	return false, errors.Join(errs...)
}
