// SPDX-License-Identifier: Apache-2.0

package failover

import "sync"

// queue hands things from many to one, who never makes them wait.
type queue[T any] struct {
	some chan struct{} // holds a token while there is something
	mu   sync.Mutex
	all  []T
}

func newQueue[T any]() *queue[T] { return &queue[T]{some: make(chan struct{}, 1)} }

func (q *queue[T]) put(v T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all = append(q.all, v)
	select {
	case q.some <- struct{}{}:
	default:
	}
}

// take returns what has come since the last time, in order.
func (q *queue[T]) take() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.all
	q.all = nil
	return all
}
