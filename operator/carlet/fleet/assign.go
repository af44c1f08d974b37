package fleet

import (
	"cmp"
	"slices"
)

// Want is one line of a cell's order: so many replicas of a workload. Memory is in bytes of one replica.
type Want struct {
	Workload string
	Digest   string
	Replicas int
	Memory   int64
	Priority int
}

// Car is a vehicle of the cell as assignment sees it.
type Car struct {
	Key      Key
	Presence Presence
	Eligible bool
	// Heard is false while carlet knows the car only from before its own restart: such a car keeps what it has, but
	// is given nothing new.
	Heard  bool
	Memory int64    // bytes
	Models []string // digests of the files it has
	// Holds says for each workload given to the car whether its replica is ready to answer.
	Holds map[string]bool
	// Refused are workloads that the car refused lately.
	Refused map[string]bool
}

// keeps says whether the car goes on counting as a place of the workload it holds.
func (c *Car) keeps(workload string) bool {
	_, holds := c.Holds[workload]
	return holds && c.Eligible && c.Presence != Gone && !c.Refused[workload]
}

// Assign decides which workloads each car of one cell holds. Who holds a replica keeps it; a replica of a car that
// cannot keep it goes to another car at once; a surplus holder is let go only when enough others are ready. The
// memory of what a car is given never exceeds its memory. Workloads of a car come sorted by name.
func Assign(cell string, wants []Want, cars []Car) map[Key][]string {
	a := assignment{cell: cell, seats: make([]seat, len(cars))}
	for i := range cars {
		a.seats[i].Car = &cars[i]
	}
	slices.SortFunc(a.seats, func(x, y seat) int { return CompareKeys(x.Key, y.Key) })
	ordered := slices.Clone(wants)
	slices.SortFunc(ordered, func(x, y Want) int {
		return cmp.Or(cmp.Compare(y.Priority, x.Priority), cmp.Compare(x.Workload, y.Workload))
	})
	chosen := make([][]*seat, len(ordered))
	for i, want := range ordered {
		chosen[i] = a.keep(want)
	}
	for i, want := range ordered {
		chosen[i] = append(chosen[i], a.grow(want, want.Replicas-len(chosen[i]))...)
	}
	for i, want := range ordered {
		a.retain(want, chosen[i])
	}
	given := map[Key][]string{}
	for _, car := range a.seats {
		if len(car.given) > 0 {
			slices.Sort(car.given)
			given[car.Key] = car.given
		}
	}
	return given
}

type assignment struct {
	cell  string
	seats []seat
}

// seat is a car with what it is given so far.
type seat struct {
	*Car
	given []string
	load  int64 // bytes
}

func (s *seat) take(want Want) bool {
	if s.load+want.Memory > s.Memory {
		return false
	}
	s.load += want.Memory
	s.given = append(s.given, want.Workload)
	return true
}

// keep gives the workload again to its holders, the surest first, up to the number wanted.
func (a *assignment) keep(want Want) []*seat {
	var holders []*seat
	for i := range a.seats {
		if a.seats[i].keeps(want.Workload) {
			holders = append(holders, &a.seats[i])
		}
	}
	a.rank(want, holders)
	slices.SortStableFunc(holders, func(x, y *seat) int {
		return cmp.Or(
			first(x.Holds[want.Workload], y.Holds[want.Workload]),
			first(x.Heard, y.Heard),
			first(x.Presence == Here, y.Presence == Here))
	})
	return a.giveUpTo(want, holders, want.Replicas)
}

// grow gives the workload to cars that do not hold it: those that have the file, then the least busy.
func (a *assignment) grow(want Want, count int) []*seat {
	if count <= 0 {
		return nil
	}
	var free []*seat
	for i := range a.seats {
		car := &a.seats[i]
		if _, holds := car.Holds[want.Workload]; !holds && car.Heard && car.Eligible && car.Presence == Here && !car.Refused[want.Workload] {
			free = append(free, car)
		}
	}
	a.rank(want, free)
	slices.SortStableFunc(free, func(x, y *seat) int {
		return cmp.Or(
			first(slices.Contains(x.Models, want.Digest), slices.Contains(y.Models, want.Digest)),
			cmp.Compare(len(x.given), len(y.given)))
	})
	return a.giveUpTo(want, free, count)
}

func (a *assignment) giveUpTo(want Want, cars []*seat, count int) []*seat {
	var chosen []*seat
	for _, car := range cars {
		if len(chosen) < count && car.take(want) {
			chosen = append(chosen, car)
		}
	}
	return chosen
}

// retain leaves the workload with its other holders until those chosen are all ready: make before break, and a
// car that comes back soon finds its model still loaded.
func (a *assignment) retain(want Want, chosen []*seat) {
	ready := 0
	for _, car := range chosen {
		if car.Holds[want.Workload] && car.Heard && car.Presence == Here {
			ready++
		}
	}
	if ready >= want.Replicas {
		return
	}
	for i := range a.seats {
		car := &a.seats[i]
		if _, holds := car.Holds[want.Workload]; holds && !car.Refused[want.Workload] && !slices.Contains(chosen, car) {
			car.take(want)
		}
	}
}

// rank orders cars so that each (cell, workload) prefers others; sorts by what matters more follow, stably.
func (a *assignment) rank(want Want, cars []*seat) {
	sortByRank(cars, a.cell+"\n"+want.Workload, func(c *seat) Key { return c.Key })
}

func first(x, y bool) int {
	switch {
	case x == y:
		return 0
	case x:
		return -1
	}
	return 1
}
