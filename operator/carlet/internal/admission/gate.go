// Package admission bounds what a server answers at a time and in a second, and spreads the return of those it turns away.
package admission

import (
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// longest is what nobody is asked to wait beyond: whoever comes later than that may as well try.
const longest = 10 * time.Minute

// jitter is added to each wait, as a part of it, so that those who were turned away together do not return together.
const jitter = 0.5

// Options bound a gate.
type Options struct {
	AtOnce int // requests under way
	// PerSecond and Burst bound how many begin; 0 for any number.
	PerSecond float64
	Burst     int
	// Returning is how many a second are asked back, and Least the shortest wait.
	Returning float64
	Least     time.Duration
}

// Gate admits requests. It is safe for concurrent use.
type Gate struct {
	options Options
	places  chan struct{}
	rate    *rate.Limiter

	mu      sync.Mutex
	backlog float64 // requests that were turned away and are not back yet, if all come when they were asked to
	at      time.Time
}

// NewGate makes a gate.
func NewGate(options Options) *Gate {
	limit := rate.Inf
	if options.PerSecond > 0 {
		limit = rate.Limit(options.PerSecond)
	}
	return &Gate{options: options, places: make(chan struct{}, options.AtOnce), rate: rate.NewLimiter(limit, options.Burst)}
}

// Enter admits a request that calls leave at its end, or says how long it should wait before it asks again: as long as those
// turned away before it take, and a bit.
func (g *Gate) Enter(now time.Time) (leave func(), wait time.Duration, admitted bool) {
	select {
	case g.places <- struct{}{}:
	default:
		return nil, g.turnAway(now), false
	}
	if !g.rate.AllowN(now, 1) {
		<-g.places
		return nil, g.turnAway(now), false
	}
	return func() { <-g.places }, 0, true
}

func (g *Gate) turnAway(now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.at.IsZero() {
		g.at = now
	}
	g.backlog = max(0, g.backlog-g.options.Returning*now.Sub(g.at).Seconds()) + 1
	g.at = now
	return min(g.options.Least+time.Duration(g.backlog/g.options.Returning*float64(time.Second)), longest)
}

// RetryAfter is a wait as the header says it: in whole seconds, jittered by up to half of it and never shorter.
func RetryAfter(wait time.Duration) string {
	return strconv.Itoa(int(math.Ceil(wait.Seconds() * (1 + jitter*rand.Float64()))))
}
