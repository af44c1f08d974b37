package fleet

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// sharedStreet is one fleet, the carlets that share it, and vehicles that do as they are told and say so to all of them.
type sharedStreet struct {
	t        *testing.T
	world    World
	carlets  map[string]*Registry
	vehicles map[string]*obedient
	stream   map[string][]byte // the last words of each subject
}

type obedient struct {
	desired Desired
	from    string // who told it last
	unloads int
}

func newSharedStreet(t *testing.T, cells, replicas int, ids ...string) *sharedStreet {
	s := &sharedStreet{
		t: t, world: newStreet(t, replicas).world, carlets: map[string]*Registry{}, vehicles: map[string]*obedient{}, stream: map[string][]byte{},
	}
	orders := s.world.Cells[0].Orders
	s.world.Cells = nil
	for i := range cells {
		s.world.Cells = append(s.world.Cells, Cell{Name: fmt.Sprintf("home-%d", i), Pool: "home", MaxVehicles: 4, Orders: orders})
	}
	for _, id := range ids {
		s.begin(id)
	}
	return s
}

// begin starts a carlet, which reads the stream.
func (s *sharedStreet) begin(id string) {
	registry := NewRegistry()
	for _, subject := range slices.Sorted(maps.Keys(s.stream)) {
		registry.Hear(subject, s.stream[subject], s.world.Now, true)
	}
	registry.Adopt(s.world.Now)
	world := s.world
	world.Vehicles, world.Share = registry.Vehicles(), NoShare(id) // as Membership begins where there are others
	if told, _ := registry.Commit(Decide(world), world.Now, time.Hour, MaxVehicles); len(told) > 0 {
		s.t.Fatalf("%s has no share yet and tells %v", id, told)
	}
	s.carlets[id] = registry
}

func (s *sharedStreet) say(vehicle string, kind Kind, message any) {
	s.t.Helper()
	text, err := json.Marshal(message)
	if err != nil {
		s.t.Fatal(err)
	}
	subject := Subject(Key{"f", vehicle}, kind)
	s.stream[subject] = text
	for id, registry := range s.carlets {
		if heard := registry.Hear(subject, text, s.world.Now, false); heard.Outcome != Accepted {
			s.t.Fatalf("%s of %s to %s: %s", kind, vehicle, id, heard.Outcome)
		}
	}
}

func (s *sharedStreet) arrive(vehicle string) {
	s.vehicles[vehicle] = &obedient{}
	s.greet(vehicle)
}

func (s *sharedStreet) greet(vehicle string) {
	s.say(vehicle, KindHello, Hello{
		V: 1, Vehicle: vehicle, Fleet: "f", Hardware: "hw4", Memory: 8 * gib, BeatSeconds: 60, Cell: s.vehicles[vehicle].desired.Cell,
	})
	s.report(vehicle)
}

func (s *sharedStreet) report(vehicle string) {
	v, state := s.vehicles[vehicle], wellState()
	state.Desired = v.desired.Revision
	for _, a := range v.desired.Assignments {
		state.Assignments = append(state.Assignments, HeldByVehicle{Workload: a.Workload, Digest: a.Digest, Phase: PhaseReady})
	}
	s.say(vehicle, KindState, state)
}

// cycle is one cycle of every carlet among members; it says who told whom.
func (s *sharedStreet) cycle(members ...string) map[string][]string {
	s.t.Helper()
	told := map[string][]string{}
	orders := map[string]Desired{}
	for _, id := range members {
		world, registry := s.world, s.carlets[id]
		world.Vehicles, world.Share = registry.Vehicles(), &Share{ID: id, Within: [][]string{members}}
		tell, _ := registry.Commit(Decide(world), world.Now, time.Hour, MaxVehicles)
		for _, order := range tell {
			vehicle := order.Vehicle.Key.Vehicle
			told[vehicle] = append(told[vehicle], id)
			orders[vehicle] = *order.Desired
		}
	}
	for _, vehicle := range slices.Sorted(maps.Keys(orders)) {
		v := s.vehicles[vehicle]
		if len(told[vehicle]) > 1 {
			s.t.Fatalf("%s was told by %v", vehicle, told[vehicle])
		}
		before := v.desired
		v.desired, v.from = orders[vehicle], told[vehicle][0]
		if len(v.desired.Assignments) < len(before.Assignments) {
			v.unloads++
		}
		if v.desired.Cell != before.Cell {
			s.greet(vehicle)
		} else if v.desired.Revision != before.Revision {
			s.report(vehicle)
		}
	}
	return told
}

// settles runs cycles until nobody is told anything any more.
func (s *sharedStreet) settles(members ...string) {
	s.t.Helper()
	for range 20 {
		s.world.Now = s.world.Now.Add(time.Second)
		if len(s.cycle(members...)) == 0 {
			return
		}
	}
	s.t.Fatalf("carlets %v go on telling for ever", members)
}

// wellServed checks that every cell has its replicas, told by the carlet that has the cell, and that no cell is too full.
func (s *sharedStreet) wellServed(members ...string) {
	s.t.Helper()
	ready, crowd := map[string]int{}, map[string]int{}
	for name, v := range s.vehicles {
		crowd[v.desired.Cell]++
		ready[v.desired.Cell] += len(v.desired.Assignments)
		if owner := shareOwner(cellShare(v.desired.Cell), members); v.desired.Cell != "" && v.from != owner {
			s.t.Errorf("%s of %s was told by %s instead of %s", name, v.desired.Cell, v.from, owner)
		}
	}
	for _, cell := range s.world.Cells {
		if want := min(cell.Orders[0].Replicas, crowd[cell.Name]); crowd[cell.Name] > cell.MaxVehicles || ready[cell.Name] != want {
			s.t.Errorf("%s has %d vehicles and %d replicas instead of %d", cell.Name, crowd[cell.Name], ready[cell.Name], want)
		}
	}
}

func (s *sharedStreet) unloads() (unloads int) {
	for _, v := range s.vehicles {
		unloads += v.unloads
	}
	return unloads
}

func TestTwoCarletsTellEachVehicleOnceAndTakeOverWithoutAnUnload(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 2))
		s := newSharedStreet(t, 6, 2, "a", "b")
		for i := range 20 {
			s.arrive(fmt.Sprintf("v-%d", i))
			if random.IntN(3) == 0 {
				s.cycle("a", "b")
			}
		}
		s.settles("a", "b")
		s.wellServed("a", "b")

		delete(s.carlets, "a") // kill -9
		for i := range 4 {
			s.arrive(fmt.Sprintf("late-%d", i))
		}
		s.settles("b")
		s.wellServed("b")

		s.begin("a")
		s.settles("a", "b")
		s.wellServed("a", "b")
		if got := s.unloads(); got != 0 {
			t.Fatalf("seed %d: %d unloads", seed, got)
		}
	}
}

func TestWhoTakesACellOverTellsItsVehiclesEvenWhatTheyKnow(t *testing.T) {
	s := newSharedStreet(t, 2, 1, "a", "b")
	for i := range 6 {
		s.arrive(fmt.Sprintf("v-%d", i))
	}
	s.settles("a", "b")
	mine := map[string]bool{}
	for name, v := range s.vehicles {
		mine[name] = v.from == "b"
	}
	told := s.cycle("b")
	for name, wasMine := range mine {
		if (len(told[name]) == 1) == wasMine {
			t.Errorf("%s, ordered by b before: %t, was told by %v", name, wasMine, told[name])
		}
	}
}

func TestAnOrderThatWasNotSentIsTriedAgain(t *testing.T) {
	s := newStreet(t, 1)
	s.hello("v-1")
	if _, told := s.decide(); len(told) != 1 {
		t.Fatalf("told %v", told)
	}
	s.registry.Untold(Key{"f", "v-1"})
	if _, told := s.decide(); len(told) != 1 {
		t.Errorf("after the failure: told %v", told)
	}
	if _, told := s.decide(); len(told) != 0 {
		t.Errorf("after it was sent: told %v", told)
	}
}

func TestAMovedVehicleKeepsWhatItHoldsUntilItsNewCarletDecides(t *testing.T) {
	s := newSharedStreet(t, 6, 4, "a", "b")
	for i := range 12 {
		s.arrive(fmt.Sprintf("v-%d", i))
	}
	s.settles("a", "b")
	smaller := s.world.Cells[0].Name
	for i := range s.world.Cells { // the fullest cell loses room
		if i > 0 && s.crowd(s.world.Cells[i].Name) > s.crowd(smaller) {
			smaller = s.world.Cells[i].Name
		}
	}
	for i := range s.world.Cells {
		if s.world.Cells[i].Name == smaller {
			s.world.Cells[i].MaxVehicles = 1
		}
	}
	if s.crowd(smaller) < 2 {
		t.Fatalf("nobody has to move from %s", smaller)
	}
	s.settles("a", "b")
	s.wellServed("a", "b")
	if got := s.unloads(); got != 0 {
		t.Errorf("%d unloads", got)
	}
}

func (s *sharedStreet) crowd(cell string) (crowd int) {
	for _, v := range s.vehicles {
		if v.desired.Cell == cell {
			crowd++
		}
	}
	return crowd
}
