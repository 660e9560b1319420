// SPDX-License-Identifier: Apache-2.0

package heartbeat

import (
	"bytes"
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mailha/mailha/internal/clock"
)

// key is the same in each run for the same n.
func key(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func public(n byte) ed25519.PublicKey { return key(n).Public().(ed25519.PublicKey) }

func example() packet {
	return packet{
		life: 7, sequence: 3, sent: clock.Time(time.Hour), interval: 50 * time.Millisecond, asking: true,
		of: []sight{
			{life: 8, state: Alive, age: 20 * time.Millisecond, echo: 5, agree: true, promise: 10 * time.Second},
			{life: 9, state: Suspect, age: time.Second, echo: 6},
			{life: 10},
		},
	}
}

var compare = cmp.AllowUnexported(packet{}, sight{})

func TestPacketThereAndBack(t *testing.T) {
	cluster := clusterID("mail")
	b := example().encode(nil, cluster, key(1))
	got, why := decode(b, cluster)
	if why != "" {
		t.Fatal(why)
	}
	if diff := cmp.Diff(example(), got, compare); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if !verify(b, public(1)) {
		t.Error("the signature is not good")
	}
	if verify(b, public(2)) || verify(b, nil) {
		t.Error("the signature is somebody else's, too")
	}
	for i := range b {
		torn := bytes.Clone(b)
		torn[i] ^= 1
		if _, why := decode(torn, cluster); why == "" && verify(torn, public(1)) {
			t.Errorf("byte %d may be another one", i)
		}
	}
}

func TestLargestPacketIsInOnePiece(t *testing.T) {
	p := packet{life: 1, sequence: 1, sent: 1, interval: time.Second}
	for i := range MaxNodes - 1 {
		p.of = append(p.of, sight{life: uint64(i) + 2, state: Alive, echo: 1, agree: true, promise: time.Hour})
	}
	b := p.encode(nil, clusterID("mail"), key(1))
	if len(b) != maxPacket || len(b) > 1280-40-8 { // the least MTU, less the headers of IPv6 and UDP
		t.Errorf("%d bytes, %d at most", len(b), maxPacket)
	}
	if got, why := decode(b, clusterID("mail")); why != "" || got.of[0].promise != time.Hour {
		t.Errorf("%q, %v", why, got.of)
	}
}

func TestPacketsThatAreNone(t *testing.T) {
	cluster := clusterID("mail")
	change := func(f func(*packet)) []byte {
		p := example()
		f(&p)
		return p.encode(nil, cluster, key(1))
	}
	bytesOf := func(f func([]byte) []byte) []byte { return f(example().encode(nil, cluster, key(1))) }
	for name, tt := range map[string]struct {
		b    []byte
		want Reason
	}{
		"empty":           {nil, Malformed},
		"long":            {make([]byte, maxPacket+1), TooLong},
		"text":            {bytes.Repeat([]byte("x"), 200), Malformed},
		"version":         {bytesOf(func(b []byte) []byte { b[3]++; return b }), OtherVersion},
		"cluster":         {example().encode(nil, clusterID("news"), key(1)), OtherCluster},
		"shorter":         {bytesOf(func(b []byte) []byte { return b[:len(b)-1] }), Malformed},
		"longer":          {bytesOf(func(b []byte) []byte { return append(b, 0) }), Malformed},
		"header only":     {bytesOf(func(b []byte) []byte { return b[:headerLen] }), Malformed},
		"flag":            {bytesOf(func(b []byte) []byte { b[headerLen-2] |= 0x80; return b }), Malformed},
		"flag of a peer":  {bytesOf(func(b []byte) []byte { b[headerLen+8] |= 0x80; return b }), Malformed},
		"dead and alive":  {bytesOf(func(b []byte) []byte { b[headerLen+8] |= flagDead; return b }), Malformed},
		"no life":         {change(func(p *packet) { p.life = 0 }), Malformed},
		"no sequence":     {change(func(p *packet) { p.sequence = 0 }), Malformed},
		"no time":         {change(func(p *packet) { p.sent = -1 }), Malformed},
		"no interval":     {change(func(p *packet) { p.interval = 0 }), Malformed},
		"peer of no life": {change(func(p *packet) { p.of[1].life = 0 }), Malformed},
		"of itself":       {change(func(p *packet) { p.of[1].life = p.life }), Malformed},
		"twice":           {change(func(p *packet) { p.of[1].life = p.of[0].life }), Malformed},
		"echo":            {change(func(p *packet) { p.of[0].echo = -1 }), Malformed},
		"agrees to none":  {change(func(p *packet) { p.of[0].echo, p.of[0].state = 0, Unknown }), Malformed},
		"heard nothing":   {change(func(p *packet) { p.of[1].echo = 0 }), Malformed},
	} {
		if _, why := decode(tt.b, cluster); why != tt.want {
			t.Errorf("%s: got %q, want %q", name, why, tt.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	cluster := clusterID("mail")
	f.Add(example().encode(nil, cluster, key(1)))
	f.Add(packet{life: 1, sequence: 1, sent: 1, interval: time.Second}.encode(nil, cluster, key(1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, why := decode(b, cluster)
		if why != "" {
			return
		}
		// What is taken is said in one way only.
		again := p.encode(nil, cluster, key(1))
		if body := len(b) - ed25519.SignatureSize; !bytes.Equal(b[:body], again[:body]) {
			t.Errorf("%x\nis taken as\n%x", b, again)
		}
		if verify(b, public(2)) {
			t.Error("signed by somebody who has signed nothing")
		}
	})
}
