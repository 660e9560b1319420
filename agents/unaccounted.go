// SPDX-License-Identifier: Apache-2.0

package agents

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/mailha/mailha/vip"
)

// unaccounted is for a stop that knows of no addresses, because neither the
// parameters nor a note name any. It fails if the node holds an address of ours
// that no other resource's note names: it may be this one's. Shared ones are another
// resource's, whatever became of its note.
func (r records) unaccounted(ctx context.Context, shared []netip.Addr) error {
	held, err := vip.Owned(ctx)
	if err != nil {
		return err
	}
	others := r.others()
	for _, h := range held {
		if !slices.Contains(shared, h.Addr.Addr()) && !slices.ContainsFunc(others, func(p netip.Prefix) bool { return p.Addr() == h.Addr.Addr() }) {
			return fmt.Errorf("address %s on %s was taken by a resource that cannot be told any more; correct the parameter ip, or remove it: ip address del %s dev %[2]s",
				h.Addr.Addr(), h.Interface, h.Addr)
		}
	}
	return nil
}

// others are the addresses in the notes of other resources, as far as those can
// be read.
func (r records) others() []netip.Prefix {
	paths, err := filepath.Glob(filepath.Join(r.dir, "*.note"))
	if err != nil {
		return nil // the pattern is a good one
	}
	var all []netip.Prefix
	for _, path := range paths {
		if path == r.path() {
			continue
		}
		var rec record
		if data, err := os.ReadFile(path); err == nil && rec.UnmarshalText(data) == nil {
			all = append(all, rec.Addresses...)
		}
	}
	return all
}
