// SPDX-License-Identifier: Apache-2.0

package heartbeat

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/mailha/mailha/internal/clock"
	"github.com/mailha/mailha/resources"
)

// MaxNodes is how many nodes a cluster may have for its packets to fit into what
// IPv6 carries everywhere in one piece (RFC 8200, section 5).
const MaxNodes = resources.MaxNodes

const (
	magic     = "mhb"
	version   = 1
	purpose   = "mailha heartbeat" // what signatures of ours are for (RFC 8032, section 8.3)
	headerLen = 42
	entryLen  = 25
	maxPacket = headerLen + (MaxNodes-1)*entryLen + ed25519.SignatureSize
)

// Flags of a packet, and of what it says of a peer.
const (
	flagAsking = 1 << iota
	flagLeaving
	packetFlags = flagAsking | flagLeaving

	flagAlive  = 1 << 0
	flagDead   = 1 << 1
	flagAgree  = 1 << 2
	entryFlags = flagAlive | flagDead | flagAgree
)

// The wire: a header, an entry for each peer, and the Ed25519 signature of both
// (RFC 8032, Ed25519ctx), big-endian. A packet is the same for all that it is sent to.
type (
	header struct {
		Magic    [3]byte
		Version  uint8
		Cluster  [8]byte // the beginning of the SHA-256 of its name
		Life     uint64
		Sequence uint64
		Sent     int64  // ns of the sender's CLOCK_BOOTTIME
		Interval uint32 // µs until its next one
		Flags    uint8
		Count    uint8
	}
	entry struct {
		Life    uint64
		Flags   uint8
		Age     uint32 // µs since it was heard
		Echo    int64  // ns of the peer's CLOCK_BOOTTIME, when it sent what was heard last; 0: never heard
		Promise uint32 // µs from Echo on in which the peer's groups are not taken; only with flagAgree
	}
)

// packet is what a heartbeat says.
type packet struct {
	life, sequence  uint64
	sent            clock.Time // the sender's
	interval        time.Duration
	asking, leaving bool
	of              []sight
}

// sight is what a packet says of one peer.
type sight struct {
	life    uint64
	state   State // Unknown, Alive or Suspect
	age     time.Duration
	echo    clock.Time // the peer's; 0: never heard
	agree   bool
	promise time.Duration // from echo on
}

func clusterID(name string) [8]byte {
	sum := sha256.Sum256([]byte(name))
	return [8]byte(sum[:8])
}

// micros is d for the wire: no less than nothing, no more than fits.
func micros(d time.Duration) uint32 {
	return uint32(max(0, min(d.Microseconds(), 1<<32-1)))
}

func fromMicros(n uint32) time.Duration { return time.Duration(n) * time.Microsecond }

// encode appends the packet, signed.
func (p packet) encode(b []byte, cluster [8]byte, key ed25519.PrivateKey) []byte {
	h := header{
		Magic: [3]byte([]byte(magic)), Version: version, Cluster: cluster, Life: p.life, Sequence: p.sequence,
		Sent: int64(p.sent), Interval: micros(p.interval), Count: uint8(len(p.of)),
	}
	if p.asking {
		h.Flags |= flagAsking
	}
	if p.leaving {
		h.Flags |= flagLeaving
	}
	begin := len(b)
	b, _ = binary.Append(b, binary.BigEndian, h) // fails for types without a fixed size only
	for _, s := range p.of {
		e := entry{Life: s.life, Age: micros(s.age), Echo: int64(s.echo)}
		switch s.state {
		case Alive:
			e.Flags = flagAlive
		case Suspect:
			e.Flags = flagDead
		}
		if s.agree {
			e.Flags |= flagAgree
			e.Promise = micros(s.promise)
		}
		b, _ = binary.Append(b, binary.BigEndian, e)
	}
	sum, err := key.Sign(nil, b[begin:], &ed25519.Options{Context: purpose})
	if err != nil {
		panic(err) // fails for another hash or too long a context only
	}
	return append(b, sum...)
}

// decode reads a packet of the cluster, whose signature has still to be looked at.
func decode(b []byte, cluster [8]byte) (packet, Reason) {
	var h header
	if len(b) > maxPacket {
		return packet{}, TooLong
	}
	if _, err := binary.Decode(b, binary.BigEndian, &h); err != nil || string(h.Magic[:]) != magic {
		return packet{}, Malformed
	}
	if h.Version != version {
		return packet{}, OtherVersion
	}
	if h.Cluster != cluster {
		return packet{}, OtherCluster
	}
	if len(b) != headerLen+int(h.Count)*entryLen+ed25519.SignatureSize ||
		h.Life == 0 || h.Sequence == 0 || h.Sent <= 0 || h.Interval == 0 || h.Flags&^packetFlags != 0 {
		return packet{}, Malformed
	}
	p := packet{
		life: h.Life, sequence: h.Sequence, sent: clock.Time(h.Sent), interval: fromMicros(h.Interval),
		asking: h.Flags&flagAsking != 0, leaving: h.Flags&flagLeaving != 0, of: make([]sight, h.Count),
	}
	for i := range p.of {
		var e entry
		if _, err := binary.Decode(b[headerLen+i*entryLen:], binary.BigEndian, &e); err != nil {
			return packet{}, Malformed
		}
		s := sight{life: e.Life, age: fromMicros(e.Age), echo: clock.Time(e.Echo), agree: e.Flags&flagAgree != 0, promise: fromMicros(e.Promise)}
		switch e.Flags & (flagAlive | flagDead) {
		case flagAlive:
			s.state = Alive
		case flagDead:
			s.state = Suspect
		case flagAlive | flagDead:
			return packet{}, Malformed
		}
		if e.Life == 0 || e.Life == h.Life || e.Flags&^entryFlags != 0 || e.Echo < 0 || (s.agree || s.state != Unknown) && e.Echo == 0 || !s.agree && e.Promise != 0 {
			return packet{}, Malformed
		}
		if _, twice := p.about(e.Life, i); twice {
			return packet{}, Malformed
		}
		p.of[i] = s
	}
	return p, ""
}

// about finds what the first n sights say of a life.
func (p packet) about(life uint64, n int) (sight, bool) {
	for _, s := range p.of[:n] {
		if s.life == life {
			return s, true
		}
	}
	return sight{}, false
}

// verify says whether b, which decode has read, was signed by key's owner.
func verify(b []byte, key ed25519.PublicKey) bool {
	body := len(b) - ed25519.SignatureSize
	return len(key) == ed25519.PublicKeySize &&
		ed25519.VerifyWithOptions(key, b[:body], b[body:], &ed25519.Options{Context: purpose}) == nil
}
