// SPDX-License-Identifier: Apache-2.0

package heartbeat

// Reason is why a packet was ignored: the label of a counter.
type Reason string

// The reasons.
const (
	TooLong      Reason = "too_long"
	Malformed    Reason = "malformed"
	OtherVersion Reason = "other_version"
	OtherCluster Reason = "other_cluster"
	// Stranger: nobody whom this node follows is in this life, or sends from there.
	Stranger Reason = "stranger"
	// Forged: the signature is not the sender's.
	Forged Reason = "forged"
	// Replayed: it came over this path before, or a later one did.
	Replayed Reason = "replayed"
	// Unaware: its sender does not know of this node's present life yet, or has sent it
	// before that began.
	Unaware Reason = "unaware"
)

// Reasons lists all of them.
func Reasons() []Reason {
	return []Reason{TooLong, Malformed, OtherVersion, OtherCluster, Stranger, Forged, Replayed, Unaware}
}
