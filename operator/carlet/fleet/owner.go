package fleet

import "time"

// Router is a router's Lease: its id, where cars dial it, when it was renewed last and when it expires.
type Router struct {
	ID      string
	Cars    string // host:port
	Renewed time.Time
	Expires time.Time
}

// Owner is the router that keeps the queue of a workload: the highest Score(workload, id) among the routers that live,
// the smaller id on a tie. A router lives if its Lease had not expired when the last of all routers renewed: while
// others renew, a dead one is found out, but an API server that takes no renewals moves nobody, and no clock but
// the Leases' is needed. Returns false if there is no router.
func Owner(workload string, routers []Router) (Router, bool) {
	var latest time.Time
	for _, r := range routers {
		if r.Renewed.After(latest) {
			latest = r.Renewed
		}
	}
	var best Router
	var bestScore uint64
	found := false
	for _, r := range routers {
		if !r.Expires.After(latest) {
			continue
		}
		score := Score(workload, r.ID)
		if !found || score > bestScore || score == bestScore && r.ID < best.ID {
			best, bestScore, found = r, score, true
		}
	}
	return best, found
}
