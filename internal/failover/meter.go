// SPDX-License-Identifier: Apache-2.0

package failover

import "time"

// Meter counts what the loop does. Its methods must not wait.
type Meter interface {
	// Taken is told when a group runs that this node took, and how long ago it did;
	// lost says that its former owner was gone.
	Taken(group string, took time.Duration, lost bool)
	// Stopped is told how long a resource took to drain and stop.
	Stopped(resource string, took time.Duration)
	// Restarted is told of each start that follows a failure on the spot.
	Restarted(resource string)
	// Dropped is told how many addresses were let go because the lease was lost.
	Dropped(addresses int)
}

// nobody counts nothing.
type nobody struct{}

func (nobody) Taken(string, time.Duration, bool) {}
func (nobody) Stopped(string, time.Duration)     {}
func (nobody) Restarted(string)                  {}
func (nobody) Dropped(int)                       {}
