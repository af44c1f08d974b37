package fleet

import (
	"cmp"
	"slices"
)

// Decide places vehicles into cells, gives them replicas and says how every cell stands. It is pure: equal worlds
// give equal decisions.
func Decide(world World) Decision {
	d := decider{world: world, pools: map[string]Pool{}, cells: map[string]Cell{}}
	for _, pool := range world.Pools {
		d.pools[pool.Name] = pool
	}
	for _, cell := range world.Cells {
		d.cells[cell.Name] = cell
	}
	slices.SortFunc(d.world.Vehicles, func(a, b Vehicle) int { return CompareKeys(a.Key, b.Key) })
	slices.SortFunc(d.world.Cells, func(a, b Cell) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(d.world.Pools, func(a, b Pool) int { return cmp.Compare(a.Name, b.Name) })
	return d.run()
}

type decider struct {
	world World
	pools map[string]Pool
	cells map[string]Cell
}

// resident is a vehicle in its cell for the length of one decision.
type resident struct {
	*Vehicle
	presence Presence
	given    []string
}

func (d *decider) run() Decision {
	out := Decision{Vehicles: map[Key]Told{}, Cells: map[string]CellFacts{}, Presence: map[PoolPresence]int{}}
	placed, waiting := d.place(out)
	residents := map[string][]*resident{}
	for i := range d.world.Vehicles {
		v := &d.world.Vehicles[i]
		if cell := placed[v.Key]; cell != "" {
			residents[cell] = append(residents[cell], &resident{Vehicle: v, presence: out.Vehicles[v.Key].Presence})
		}
	}
	malformed := d.malformed(placed)
	firstCell := map[string]bool{}
	for _, cell := range d.world.Cells {
		here := residents[cell.Name]
		d.assign(cell, here)
		for _, r := range here {
			told := out.Vehicles[r.Key]
			told.Cell, told.Desired = cell.Name, d.desired(cell, r)
			out.Vehicles[r.Key] = told
		}
		facts := d.facts(cell, here)
		if !firstCell[cell.Pool] {
			firstCell[cell.Pool] = true
			facts.Counts.Waiting = waiting[cell.Pool]
		}
		facts.Malformed = malformed[cell.Name]
		out.Cells[cell.Name] = facts
	}
	return out
}

// malformed counts, by cell, the vehicles that could not be understood lately.
func (d *decider) malformed(placed map[Key]string) map[string]int {
	counts := map[string]int{}
	for _, key := range d.world.Malformed {
		cell := placed[key]
		for i := 0; i < len(d.world.Cells) && cell == ""; i++ {
			if d.pools[d.world.Cells[i].Pool].Fleet == key.Fleet {
				cell = d.world.Cells[i].Name
			}
		}
		counts[cell]++
	}
	return counts
}

// place decides pool, presence and cell of every vehicle that has said hello.
func (d *decider) place(out Decision) (map[Key]string, map[string]int) {
	members, nothing := make([]Member, 0, len(d.world.Vehicles)), NewDesired("", Terms{}, nil)
	for i := range d.world.Vehicles {
		v := &d.world.Vehicles[i]
		if !v.HasHello {
			continue
		}
		cell := cmp.Or(v.Cell, v.Hello.Cell)
		pool := d.poolOf(v, cell)
		presence := PresenceAt(d.world.Now, v.Witness(), d.pools[pool].KeepFor)
		out.Vehicles[v.Key] = Told{Pool: pool, Presence: presence, Desired: nothing}
		out.Presence[PoolPresence{pool, presence}]++
		if pool != "" {
			members = append(members, Member{Key: v.Key, Pool: pool, Cell: cell})
		}
	}
	var rooms []Room
	for _, cell := range d.world.Cells {
		rooms = append(rooms, Room{Cell: cell.Name, Pool: cell.Pool, Max: cell.MaxVehicles})
	}
	placed := Place(members, rooms)
	waiting := map[string]int{}
	for _, m := range members {
		if placed[m.Key] == "" && out.Vehicles[m.Key].Presence != Gone {
			waiting[m.Pool]++
		}
	}
	return placed, waiting
}

// poolOf is the pool that wants the vehicle: that of its cell if it fits, else the first by name.
func (d *decider) poolOf(v *Vehicle, cell string) string {
	fits := func(pool Pool) bool { return pool.Fleet == v.Key.Fleet && pool.Hardware == v.Hello.Hardware }
	if pool, ok := d.pools[d.cells[cell].Pool]; ok && fits(pool) {
		return pool.Name
	}
	for _, pool := range d.world.Pools {
		if fits(pool) {
			return pool.Name
		}
	}
	return ""
}

func (d *decider) assign(cell Cell, residents []*resident) {
	var wants []Want
	digests := map[string]string{}
	for _, order := range cell.Orders {
		if workload, ok := d.world.Workloads[order.Workload]; ok {
			digests[order.Workload] = order.Digest
			wants = append(wants, Want{order.Workload, order.Digest, order.Replicas, workload.Memory, order.Priority})
		}
	}
	cars := make([]Car, 0, len(residents))
	for _, r := range residents {
		cars = append(cars, d.car(cell, r, digests))
	}
	given := Assign(cell.Name, wants, cars)
	for _, r := range residents {
		r.given = given[r.Key]
	}
}

func (d *decider) car(cell Cell, r *resident, digests map[string]string) Car {
	car := Car{
		Key: r.Key, Presence: r.presence, Eligible: r.Eligible(), Heard: r.Heard, Memory: r.Hello.Memory,
		Models: map[string]bool{}, Holds: map[string]bool{}, Refused: map[string]bool{},
	}
	if declared := d.pools[cell.Pool].Memory; car.Memory == 0 || declared > 0 && declared < car.Memory {
		car.Memory = declared
	}
	for _, digest := range r.Hello.Models {
		car.Models[digest] = true
	}
	for workload := range r.Given {
		car.Holds[workload] = r.phase(workload, digests[workload]) == PhaseReady
	}
	for workload, refusal := range r.Refusals {
		if refusal.Digest == digests[workload] && refusal.Until.After(d.world.Now) && !r.serves(workload) {
			car.Refused[workload] = true
		}
	}
	return car
}

// phase is what the vehicle reports of a workload at a digest; empty if it does not mention it.
func (r *resident) phase(workload, digest string) Phase {
	for _, held := range r.State.Assignments {
		if held.Workload == workload && held.Digest == digest {
			return held.Phase
		}
	}
	return ""
}

// serves says whether the vehicle answers requests of the workload with whatever digest: a car whose new version
// fails to load goes on with the last good one.
func (r *resident) serves(workload string) bool {
	return slices.ContainsFunc(r.State.Assignments, func(held HeldByVehicle) bool {
		return held.Workload == workload && held.Phase == PhaseReady
	})
}

func (d *decider) desired(cell Cell, r *resident) Desired {
	var assignments []Assignment
	for _, order := range cell.Orders {
		if !slices.Contains(r.given, order.Workload) {
			continue
		}
		workload := d.world.Workloads[order.Workload]
		router, _ := Owner(order.Workload, d.world.Routers)
		assignments = append(assignments, Assignment{
			Workload: order.Workload, Model: workload.Model, Digest: order.Digest, Bytes: d.world.Staged[order.Digest],
			Format: workload.format(order.Digest), Memory: workload.Memory, Router: router.Cars,
		})
	}
	return NewDesired(cell.Name, d.pools[cell.Pool].Terms, assignments)
}
