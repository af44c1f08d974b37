package fleet

import (
	"cmp"
	"slices"
)

// MaxStaged bounds the files that one vehicle is told to keep ready without serving them.
const MaxStaged = 4

// Staged is a file that a vehicle should fetch ahead of need. URL is empty until the order is sent.
type Staged struct {
	Digest string `json:"digest"`
	Bytes  int64  `json:"bytes"`
	Format string `json:"format"`
	URL    string `json:"url,omitempty"`
}

// stagingLinks are those on which a file is fetched that nobody asked for yet.
var stagingLinks = map[string]bool{"WiFi": true, "Ethernet": true}

// stage names the spare holders of each file of the cell: so many more cars than replicas, in percent and rounded up, keep
// the file ready, so that a replacement loads at once. Cars that have it are the first, then each file prefers others; who was
// heard in this life of carlet does not matter, so that a restart stages nothing anew.
func (d *decider) stage(cell Cell, residents []*resident) {
	orders := slices.Clone(cell.Orders)
	slices.SortStableFunc(orders, func(x, y Order) int {
		return cmp.Or(cmp.Compare(y.Priority, x.Priority), cmp.Compare(x.Workload, y.Workload))
	})
	for _, order := range orders {
		workload, known := d.world.Workloads[order.Workload]
		if !known || d.world.Staged[order.Digest] == 0 {
			continue
		}
		var spare []*resident
		for _, r := range residents {
			if d.mayStage(cell, r, order, workload) {
				spare = append(spare, r)
			}
		}
		sortByRank(spare, cell.Name+"\n"+order.Digest, func(r *resident) Key { return r.Key })
		slices.SortStableFunc(spare, func(x, y *resident) int {
			return first(slices.Contains(x.Hello.Models, order.Digest), slices.Contains(y.Hello.Models, order.Digest))
		})
		count := (order.Replicas*d.world.StagePercent + 99) / 100
		for _, r := range spare[:min(count, len(spare))] {
			r.staged = append(r.staged, Staged{
				Digest: order.Digest, Bytes: d.world.Staged[order.Digest], Format: workload.format(order.Digest),
			})
		}
	}
}

// mayStage says whether a vehicle could serve the order and may fetch its file now.
func (d *decider) mayStage(cell Cell, r *resident, order Order, workload Workload) bool {
	if !r.Eligible() || r.Presence == Gone || !stagingLinks[r.State.Link] || workload.Memory > d.memoryOf(cell, r) || len(r.staged) >= MaxStaged {
		return false
	}
	refusal, refused := r.Refusals[order.Workload]
	refused = refused && refusal.Digest == order.Digest && refusal.Until.After(d.world.Now)
	return !refused && !slices.Contains(r.given, order.Workload) &&
		!slices.ContainsFunc(r.staged, func(s Staged) bool { return s.Digest == order.Digest })
}
