package fleet

import "time"

// CellGrace is how long a cell that vanished is believed to come back.
const CellGrace = time.Minute

// LastOrders remembers what cells ordered, so that a cell that is deleted by mistake, or to be made again, unloads
// nothing. It is not safe for concurrent use.
type LastOrders struct {
	grace    time.Duration
	known    map[string]Cell
	vanished map[string]time.Time // when the cell was missed first
}

// NewLastOrders returns a memory that keeps a vanished cell's orders for the grace.
func NewLastOrders(grace time.Duration) *LastOrders {
	return &LastOrders{grace: grace, known: map[string]Cell{}, vanished: map[string]time.Time{}}
}

// Keep returns the cells that exist, and those that vanished within the grace as they were. A cell made again begins
// without orders, because the operator has to see its vehicles first; it has its last ones until it is given new ones or
// the grace is over. Orders end at once with their pool.
func (o *LastOrders) Keep(cells []Cell, pools []Pool, now time.Time) []Cell {
	kept, exists := make([]Cell, 0, len(cells)), map[string]bool{}
	for _, cell := range cells {
		exists[cell.Name] = true
		old, known := o.known[cell.Name]
		if known && old.UID != cell.UID && len(cell.Orders) == 0 && o.spared(cell.Name, now) {
			cell.Orders = old.Orders
		} else {
			o.known[cell.Name] = cell
			delete(o.vanished, cell.Name)
		}
		kept = append(kept, cell)
	}
	wanted := map[string]bool{}
	for _, pool := range pools {
		wanted[pool.Name] = !pool.Deleting
	}
	for name, old := range o.known {
		switch {
		case exists[name]:
		case wanted[old.Pool] && o.spared(name, now):
			kept = append(kept, old)
		default:
			delete(o.known, name)
			delete(o.vanished, name)
		}
	}
	return kept
}

// spared says whether the grace of a cell, which begins when it is missed first, is not over.
func (o *LastOrders) spared(name string, now time.Time) bool {
	since, missed := o.vanished[name]
	if !missed {
		since = now
		o.vanished[name] = now
	}
	return now.Sub(since) < o.grace
}
