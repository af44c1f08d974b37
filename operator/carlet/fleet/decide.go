package fleet

import (
	"cmp"
	"slices"
)

// Decide places vehicles into cells, gives them replicas and says how every cell stands. It is pure: equal worlds
// give equal decisions.
func Decide(world World) Decision { return decide(world, nil) }

// decide repeats what a memory says, if there is one.
func decide(world World, memory *Decider) Decision {
	d := decider{world: world, memory: memory, pools: map[string]Pool{}, cells: map[string]Cell{}, ownedCells: map[string]bool{}, ownedPools: map[string]bool{}}
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
	world                  World
	memory                 *Decider
	pools                  map[string]Pool
	cells                  map[string]Cell
	ownedCells, ownedPools map[string]bool // as far as the share was asked
}

// resident is a vehicle in its cell for the length of one decision.
type resident struct {
	*Vehicle
	pool string
	Standing
	cell    string
	foreign bool // another carlet orders it
	given   []string
	staged  []Staged
	desired Desired
}

func (d *decider) run() Decision {
	all := d.residents()
	placed, waiting := d.place(all)
	byCell := map[string][]*resident{}
	out := Decision{
		Vehicles: make(map[Key]Told, len(all)), Cells: make(map[string]CellFacts, len(d.world.Cells)), Presence: map[PoolPresence]int{},
	}
	for i := range all {
		r := &all[i]
		r.cell = placed(i)
		if r.foreign = d.foreign(r); r.foreign {
			continue
		}
		out.Presence[PoolPresence{r.pool, r.Standing}]++
		if r.cell != "" {
			byCell[r.cell] = append(byCell[r.cell], r)
		}
	}
	malformed := d.malformed(all, placed)
	firstCell := map[string]bool{}
	for _, cell := range d.world.Cells {
		first := !firstCell[cell.Pool]
		firstCell[cell.Pool] = true
		if !d.owns(d.ownedCells, cell.Name, d.world.Share.OwnsCell) {
			continue
		}
		facts := d.settle(cell, byCell[cell.Name])
		if first {
			facts.Counts.Waiting = waiting[cell.Pool]
		}
		facts.Malformed = malformed[cell.Name]
		out.Cells[cell.Name] = facts
	}
	nothing := NewDesired("", Terms{}, nil)
	for i := range all {
		r := &all[i]
		switch {
		case r.foreign || r.cell != "" && d.owns(d.ownedCells, r.cell, d.world.Share.OwnsCell):
		case r.cell == "":
			r.desired = nothing
		default:
			r.desired = d.introduction(r)
		}
		out.Vehicles[r.Key] = Told{Pool: r.pool, Cell: r.cell, Standing: r.Standing, Desired: r.desired, Foreign: r.foreign}
	}
	return out
}

// foreign says whether another carlet orders the vehicle: the one that has its cell, once the vehicle says that it is in it,
// and until then the one that places the vehicles of its pool.
func (d *decider) foreign(r *resident) bool {
	if r.cell != "" && r.Hello.Cell == r.cell {
		return !d.owns(d.ownedCells, r.cell, d.world.Share.OwnsCell)
	}
	return !d.owns(d.ownedPools, r.pool, d.world.Share.OwnsPool)
}

// owns asks the share once for all vehicles of a cell or a pool.
func (d *decider) owns(known map[string]bool, name string, ask func(string) bool) bool {
	owned, asked := known[name]
	if !asked {
		owned = ask(name)
		known[name] = owned
	}
	return owned
}

// introduction tells a vehicle of a cell that another carlet has: it keeps what it holds, and that carlet goes on from there.
func (d *decider) introduction(r *resident) Desired {
	var assignments []Assignment
	for workload, digest := range r.Given {
		if _, known := d.world.Workloads[workload]; known {
			assignments = append(assignments, d.assignment(workload, digest))
		}
	}
	return NewDesired(r.cell, d.pools[r.pool].Terms, assignments)
}

// malformed counts, by cell, the vehicles that could not be understood lately.
func (d *decider) malformed(all []resident, placed func(int) string) map[string]int {
	counts := map[string]int{}
	for _, key := range d.world.Malformed {
		cell := ""
		if i, known := slices.BinarySearchFunc(all, key, func(r resident, key Key) int { return CompareKeys(r.Key, key) }); known {
			cell = placed(i)
		}
		for i := 0; i < len(d.world.Cells) && cell == ""; i++ {
			if d.pools[d.world.Cells[i].Pool].Fleet == key.Fleet {
				cell = d.world.Cells[i].Name
			}
		}
		counts[cell]++
	}
	return counts
}

// residents are the vehicles that have said hello, with pool and presence, by key.
func (d *decider) residents() []resident {
	all := make([]resident, 0, len(d.world.Vehicles))
	for i := range d.world.Vehicles {
		v := &d.world.Vehicles[i]
		if v.HasHello {
			pool := d.poolOf(v, v.cell())
			verdict := Judge(d.world.Now, v.Testimony(), d.pools[pool].KeepFor)
			all = append(all, resident{Vehicle: v, pool: pool, Standing: verdict.Standing})
		}
	}
	return all
}

// cell is the cell that the vehicle is in, or was told before this life of carlet.
func (v *Vehicle) cell() string { return cmp.Or(v.Cell, v.Hello.Cell) }

// place says the cell of each vehicle, and how many wait for one by pool.
func (d *decider) place(all []resident) (func(int) string, map[string]int) {
	if d.allStay(all) {
		return func(i int) string { return all[i].Vehicle.cell() }, nil
	}
	var members []Member
	for i := range all {
		if r := &all[i]; r.pool != "" {
			members = append(members, Member{Key: r.Key, Pool: r.pool, Cell: r.Vehicle.cell(), Holds: r.holds()})
		}
	}
	var rooms []Room
	for _, cell := range d.world.Cells {
		rooms = append(rooms, Room{Cell: cell.Name, Pool: cell.Pool, Max: cell.MaxVehicles, Closed: cell.Cordoned, Closing: cell.Closing})
	}
	placed := Place(members, rooms)
	waiting := map[string]int{}
	for i := range all {
		if r := &all[i]; r.pool != "" && placed[r.Key] == "" && r.Presence != Gone {
			waiting[r.pool]++
		}
	}
	return func(i int) string { return placed[all[i].Key] }, waiting
}

// holds says whether the vehicle has work, or has not said yet that it has none.
func (v *Vehicle) holds() bool {
	return !v.HasState || len(v.Given) > 0 || len(v.State.Assignments) > 0
}

// allStay says whether every vehicle is in a cell of its pool that has room for all of its own, and none is to be emptied:
// then Place leaves it there.
func (d *decider) allStay(all []resident) bool {
	taken := map[string]int{}
	for i := range all {
		r := &all[i]
		name := r.Vehicle.cell()
		cell, exists := d.cells[name]
		if taken[name]++; !exists || cell.Pool != r.pool || r.pool == "" || taken[name] > cell.MaxVehicles || cell.Closing && !r.holds() {
			return false
		}
	}
	return true
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
		Key: r.Key, Presence: r.Presence, Eligible: r.Eligible(), Heard: r.Heard, Memory: d.memoryOf(cell, r),
		Models: map[string]bool{}, Holds: map[string]bool{}, Refused: map[string]bool{},
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

// memoryOf is what models may take of the vehicle: what it says, and no more than its pool declares.
func (d *decider) memoryOf(cell Cell, r *resident) int64 {
	declared := d.pools[cell.Pool].Memory
	if r.Hello.Memory == 0 || declared > 0 && declared < r.Hello.Memory {
		return declared
	}
	return r.Hello.Memory
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
		assignments = append(assignments, d.assignment(order.Workload, order.Digest))
	}
	return NewDesired(cell.Name, d.pools[cell.Pool].Terms, assignments, r.staged...)
}

func (d *decider) assignment(name, digest string) Assignment {
	workload := d.world.Workloads[name]
	router, _ := Owner(name, d.world.Routers)
	return Assignment{
		Workload: name, Model: workload.Model, Digest: digest, Bytes: d.world.Staged[digest],
		Format: workload.format(digest), Memory: workload.Memory, Router: router.Cars,
	}
}
