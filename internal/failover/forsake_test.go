// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/mailha/mailha/internal/state"
	"github.com/mailha/mailha/resources"
)

func TestMoved(t *testing.T) {
	epochs := map[string]uint64{}
	seen := func(mail, web uint64) []string {
		all := moved(epochs, map[string]state.Group{"mail": {Epoch: mail}, "web": {Epoch: web}})
		slices.Sort(all)
		return all
	}
	for _, tt := range []struct {
		mail, web uint64
		want      []string
	}{
		{3, 0, nil}, // what it was before is not known
		{3, 0, nil},
		{4, 1, []string{"mail", "web"}},
		{4, 1, nil},
		{2, 1, nil}, // an older view
		{4, 2, []string{"web"}},
		{5, 2, []string{"mail"}},
	} {
		if got := seen(tt.mail, tt.web); !slices.Equal(got, tt.want) {
			t.Errorf("epochs %d and %d: got %q, want %q", tt.mail, tt.web, got, tt.want)
		}
	}
}

func TestAddressesOf(t *testing.T) {
	kinds := resources.Kinds{{Name: "vip", Params: []resources.Param{{Name: "ip", Unique: resources.UniqueAddress}, {Name: "unit", Unique: "unit"}}}}
	c := &resources.Cluster{Groups: []resources.Group{
		{Name: "mail", Resources: []resources.Resource{
			{Name: "a", Kind: "vip", Params: map[string]string{"ip": "192.0.2.1/24 2001:db8::1, junk", "unit": "x"}}, {Name: "b", Kind: "other"},
		}},
		{Name: "web", Resources: []resources.Resource{{Name: "c", Kind: "vip", Params: map[string]string{"ip": "192.0.2.2"}}}},
	}}
	want := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	if got := addressesOf(c, kinds, []string{"mail", "gone"}); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
