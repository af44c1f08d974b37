package fleet

import (
	"cmp"
	"slices"
	"time"
)

// Decide places vehicles into cells, gives them replicas and says how every cell stands. It is pure: equal worlds
// give equal decisions.
func Decide(world World) Decision { return decide(world, nil) }

// decide repeats what a memory says, if there is one.
func decide(world World, memory *Decider) Decision {
	slices.SortFunc(world.Vehicles, func(a, b *Vehicle) int { return CompareKeys(a.Key, b.Key) })
	slices.SortFunc(world.Cells, func(a, b Cell) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(world.Pools, func(a, b Pool) int { return cmp.Compare(a.Name, b.Name) })
	d := decider{
		world: world, memory: memory, pools: make(map[string]*Pool, len(world.Pools)), sites: make([]site, len(world.Cells)),
		siteOf: make(map[string]*site, len(world.Cells)), ownedCells: map[string]bool{}, ownedPools: map[string]bool{},
	}
	for i := range world.Pools {
		d.pools[world.Pools[i].Name] = &world.Pools[i]
	}
	for i := range world.Cells {
		cell := &world.Cells[i]
		d.sites[i] = site{Cell: cell, pool: d.pools[cell.Pool]}
		d.siteOf[cell.Name] = &d.sites[i]
	}
	return d.run()
}

type decider struct {
	world                  World
	memory                 *Decider
	pools                  map[string]*Pool
	sites                  []site
	siteOf                 map[string]*site
	ownedCells, ownedPools map[string]bool // as far as the share was asked
}

// site is a cell and its vehicles for the length of one decision.
type site struct {
	*Cell
	pool      *Pool // nil if there is none of the name
	claimed   int   // vehicles of the pool that are in the cell, or were told it
	residents []*resident
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
	desired *Desired
}

func (d *decider) run() Decision {
	all := d.residents()
	waiting := d.place(all)
	out := Decision{
		Vehicles: make([]Told, 0, len(all)), Cells: make(map[string]CellFacts, len(d.world.Cells)), Presence: map[PoolPresence]int{},
	}
	for i := range all {
		r := &all[i]
		if r.foreign = d.foreign(r); r.foreign {
			continue
		}
		if site := d.siteOf[r.cell]; site != nil {
			site.residents = append(site.residents, r)
		}
	}
	malformed := d.malformed(all)
	firstCell := map[string]bool{}
	for i := range d.sites {
		site := &d.sites[i]
		first := !firstCell[site.Pool]
		firstCell[site.Pool] = true
		if !d.owns(d.ownedCells, site.Name, d.world.Share.OwnsCell) {
			continue
		}
		facts := d.settle(*site.Cell, site.residents)
		if first {
			facts.Counts.Waiting = waiting[site.Pool]
		}
		facts.Malformed = malformed[site.Name]
		out.Cells[site.Name] = facts
		for standing, number := range facts.Standings {
			out.Presence[PoolPresence{site.Pool, standing}] += number
		}
	}
	d.tell(all, &out)
	return out
}

// tell lists what every vehicle is told, those in no cell that is served here too.
func (d *decider) tell(all []resident, out *Decision) {
	none := NewDesired("", Terms{}, nil)
	for i := range all {
		r := &all[i]
		switch {
		case r.foreign:
			r.desired = nil
		case r.cell != "" && d.owns(d.ownedCells, r.cell, d.world.Share.OwnsCell):
		case r.cell == "":
			r.desired = &none
			out.Presence[PoolPresence{r.pool, r.Standing}]++
		default:
			introduced := d.introduction(r)
			r.desired = &introduced
			out.Presence[PoolPresence{r.pool, r.Standing}]++
		}
		out.Vehicles = append(out.Vehicles, Told{
			Vehicle: r.Vehicle, Pool: r.pool, Cell: r.cell, Standing: r.Standing, Desired: r.desired, Foreign: r.foreign,
		})
	}
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
	return NewDesired(r.cell, d.poolNamed(r.pool).Terms, assignments)
}

// malformed counts, by cell, the vehicles that could not be understood lately.
func (d *decider) malformed(all []resident) map[string]int {
	counts := map[string]int{}
	for _, key := range d.world.Malformed {
		cell := ""
		if i, known := slices.BinarySearchFunc(all, key, func(r resident, key Key) int { return CompareKeys(r.Key, key) }); known {
			cell = all[i].cell
		}
		for i := 0; i < len(d.world.Cells) && cell == ""; i++ {
			if d.poolNamed(d.world.Cells[i].Pool).Fleet == key.Fleet {
				cell = d.world.Cells[i].Name
			}
		}
		counts[cell]++
	}
	return counts
}

// poolNamed is a pool, or an empty one if there is none of the name.
func (d *decider) poolNamed(name string) Pool {
	if pool := d.pools[name]; pool != nil {
		return *pool
	}
	return Pool{}
}

// residents are the vehicles that have said hello, with pool, presence and the cell that they are in so far, by key.
func (d *decider) residents() []resident {
	all := d.memory.room(len(d.world.Vehicles))
	for _, v := range d.world.Vehicles {
		if !v.HasHello {
			continue
		}
		r := resident{Vehicle: v, cell: v.cell()}
		keepFor := time.Duration(0)
		if pool := d.poolOf(v, d.siteOf[r.cell]); pool != nil {
			r.pool, keepFor = pool.Name, pool.KeepFor
		}
		r.Standing = Judge(d.world.Now, v.Testimony(), keepFor).Standing
		all = append(all, r)
	}
	return all
}

// cell is the cell that the vehicle is in, or was told before this life of carlet.
func (v *Vehicle) cell() string { return cmp.Or(v.Cell, v.Hello.Cell) }

// place gives each vehicle its cell, and counts those that wait for one by pool.
func (d *decider) place(all []resident) (waiting map[string]int) {
	moving := d.moving(all)
	var members []Member
	for i := range all {
		r := &all[i]
		switch {
		case r.pool == "":
			r.cell = ""
		case moving[r.pool]:
			members = append(members, Member{Key: r.Key, Pool: r.pool, Cell: r.cell, Holds: r.holds()})
		}
	}
	if len(members) == 0 {
		return nil
	}
	var rooms []Room
	for i := range d.sites {
		if cell := d.sites[i].Cell; moving[cell.Pool] {
			rooms = append(rooms, Room{Cell: cell.Name, Pool: cell.Pool, Max: cell.MaxVehicles, Closed: cell.Cordoned, Closing: cell.Closing})
		}
	}
	placed := Place(members, rooms)
	waiting = map[string]int{}
	for i := range all {
		if r := &all[i]; moving[r.pool] {
			if r.cell = placed[r.Key]; r.cell == "" && r.Presence != Gone {
				waiting[r.pool]++
			}
		}
	}
	return waiting
}

// holds says whether the vehicle has work, or has not said yet that it has none.
func (v *Vehicle) holds() bool {
	return !v.HasState || len(v.Given) > 0 || len(v.State.Assignments) > 0
}

// moving are the pools of which a vehicle may change its cell. In the others every vehicle is in a cell of the pool that has room for
// all of its own, and none is to be emptied: Place would leave it there.
func (d *decider) moving(all []resident) map[string]bool {
	pools := map[string]bool{}
	for i := range all {
		r := &all[i]
		if r.pool == "" {
			continue
		}
		site := d.siteOf[r.cell]
		if site == nil || site.Pool != r.pool {
			pools[r.pool] = true
			continue
		}
		if site.claimed++; site.claimed > site.MaxVehicles || site.Closing && !r.holds() {
			pools[r.pool] = true
		}
	}
	return pools
}

// poolOf is the pool that wants the vehicle: that of its cell if it fits, else the first by name; nil if there is none.
func (d *decider) poolOf(v *Vehicle, at *site) *Pool {
	fits := func(pool *Pool) bool { return pool.Fleet == v.Key.Fleet && pool.Hardware == v.Hello.Hardware }
	if at != nil && at.pool != nil && fits(at.pool) {
		return at.pool
	}
	for i := range d.world.Pools {
		if pool := &d.world.Pools[i]; fits(pool) {
			return pool
		}
	}
	return nil
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
		Key: r.Key, Presence: r.Presence, Eligible: r.Eligible(), Heard: r.Heard, Memory: d.memoryOf(cell, r), Models: r.Hello.Models,
	}
	if len(r.Given) > 0 {
		car.Holds = make(map[string]bool, len(r.Given))
		for workload := range r.Given {
			car.Holds[workload] = r.phase(workload, digests[workload]) == PhaseReady
		}
	}
	if len(r.Refusals) > 0 {
		car.Refused = map[string]bool{}
		for workload, refusal := range r.Refusals {
			if refusal.Digest == digests[workload] && refusal.Until.After(d.world.Now) && !r.serves(workload) {
				car.Refused[workload] = true
			}
		}
	}
	return car
}

// memoryOf is what models may take of the vehicle: what it says, and no more than its pool declares.
func (d *decider) memoryOf(cell Cell, r *resident) int64 {
	declared := d.poolNamed(cell.Pool).Memory
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
	return NewDesired(cell.Name, d.poolNamed(cell.Pool).Terms, assignments, r.staged...)
}

func (d *decider) assignment(name, digest string) Assignment {
	workload := d.world.Workloads[name]
	router, _ := Owner(name, d.world.Routers)
	return Assignment{
		Workload: name, Model: workload.Model, Digest: digest, Bytes: d.world.Staged[digest],
		Format: workload.format(digest), Memory: workload.Memory, Router: router.Cars,
	}
}
