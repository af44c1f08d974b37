package drive

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// moment is time since the driver started: monotonic, and small in a structure of which there are thousands.
type moment = time.Duration

// never is a moment that does not come.
const never moment = 1<<63 - 1

// agenda wakes vehicles when something of theirs is due: one timer and one goroutine for all.
type agenda struct {
	clock func() moment
	mu    sync.Mutex
	queue queue
	wake  chan struct{}
}

func newAgenda(clock func() moment) *agenda {
	return &agenda{clock: clock, wake: make(chan struct{}, 1)}
}

// set moves a vehicle to another moment.
func (a *agenda) set(v *vehicle, due moment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case v.slot >= 0 && due == v.due:
		return
	case v.slot >= 0 && due == never:
		heap.Remove(&a.queue, v.slot)
	case v.slot >= 0:
		v.due = due
		heap.Fix(&a.queue, v.slot)
	case due != never:
		v.due = due
		heap.Push(&a.queue, v)
	}
	if v.slot == 0 {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

// pop returns a vehicle that is due, or how long until one is.
func (a *agenda) pop() (*vehicle, time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.queue) == 0 {
		return nil, time.Hour
	}
	if wait := a.queue[0].due - a.clock(); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&a.queue).(*vehicle), 0 //nolint:forcetypeassert // the queue holds nothing else
}

// run acts until the context ends.
func (a *agenda) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		v, wait := a.pop()
		if v != nil {
			v.act()
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		case <-timer.C:
		}
	}
}

// queue is a heap by the moment due; each vehicle knows its slot.
type queue []*vehicle

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due < q[j].due }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].slot, q[j].slot = i, j
}

func (q *queue) Push(x any) {
	v := x.(*vehicle) //nolint:forcetypeassert // only agenda pushes
	v.slot = len(*q)
	*q = append(*q, v)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	v := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	v.slot = -1
	return v
}
