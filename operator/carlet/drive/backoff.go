package drive

import (
	"errors"
	"math/rand/v2"
	"syscall"
	"time"
)

// The agent's own patience; operator/parkade/vehicle/link.py and backoff.py.
const (
	firstWait    = time.Second
	longestWait  = 10 * time.Second
	crowdedWait  = time.Minute
	longestAsked = 15 * time.Minute
)

// pause is how long to wait before the next try, with full jitter, and the bound of the one after it.
func pause(bound, longest time.Duration) (wait, next time.Duration) {
	bound = min(max(bound, firstWait), longest)
	return rand.N(bound), 2 * bound
}

// patienceFor bounds the pauses after a failed dial: longer where somebody answers and does not let the vehicle in, for
// others dial too.
func patienceFor(err error) time.Duration {
	for _, nobody := range []error{syscall.ECONNREFUSED, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN} {
		if errors.Is(err, nobody) {
			return longestWait
		}
	}
	return crowdedWait
}
