package fleet

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

const digest = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// street is a world driven as carlet drives it: messages in, decisions out.
type street struct {
	t        *testing.T
	registry *Registry
	world    World
}

func newStreet(t *testing.T, replicas int) *street {
	return &street{t: t, registry: NewRegistry(), world: World{
		Now:   noon,
		Pools: []Pool{{Name: "home", Fleet: "f", Hardware: "hw4", Memory: 8 * gib, KeepFor: 5 * time.Minute}},
		Cells: []Cell{{Name: "home-0", Pool: "home", MaxVehicles: 10, Generation: 3, Orders: []Order{
			{Workload: "vision/sign", Digest: digest, Replicas: replicas, Priority: 100},
		}}},
		Workloads: map[string]Workload{"vision/sign": {Name: "vision/sign", Model: "sign", Memory: gib, Formats: map[string]string{digest: "onnx"}}},
		Routers:   []Router{{ID: "local", Cars: "127.0.0.1:7443", Renewed: noon, Expires: noon.Add(15 * time.Second)}},
		Staged:    map[string]int64{digest: 42},
	}}
}

func (s *street) say(vehicle string, kind Kind, message any, replayed bool) {
	s.t.Helper()
	if v := s.registry.vehicles[Key{"f", vehicle}]; v != nil {
		if state, is := message.(State); is && state.Desired == "" {
			state.Desired = v.State.Desired // the order it named before
			message = state
		}
	}
	text, err := json.Marshal(message)
	if err != nil {
		s.t.Fatal(err)
	}
	if heard := s.registry.Hear(Subject(Key{"f", vehicle}, kind), text, s.world.Now, replayed); heard.Outcome != Accepted {
		s.t.Fatalf("%s of %s: %s", kind, vehicle, heard.Outcome)
	}
}

func (s *street) hello(vehicle string) {
	s.say(vehicle, KindHello, Hello{V: 1, Vehicle: vehicle, Fleet: "f", Hardware: "hw4", Memory: 8 * gib, BeatSeconds: 60}, false)
}

// arrive is a vehicle that says hello, and that it may work.
func (s *street) arrive(vehicle string) {
	s.hello(vehicle)
	s.say(vehicle, KindState, wellState(), false)
}

func wellState(assignments ...HeldByVehicle) State {
	return State{V: 1, Present: true, Eligible: true, Link: "WiFi", State: "Charging", RTTMillis: 20, Assignments: assignments}
}

func held(phase Phase) HeldByVehicle {
	return HeldByVehicle{Workload: "vision/sign", Digest: digest, Phase: phase, Reason: "R", Message: "m"}
}

// decide runs one cycle and says who was told something; who is told names the order in its state at once.
func (s *street) decide() (Decision, []string) {
	decision, told := s.decideUnheard()
	for _, vehicle := range told {
		v := s.registry.vehicles[Key{"f", vehicle}]
		s.registry.private(v)
		v.State.Desired = v.sent
	}
	return decision, told
}

// decideUnheard is decide with every order lost on the way.
func (s *street) decideUnheard() (Decision, []string) {
	s.world.Vehicles = s.registry.Vehicles()
	decision := Decide(s.world)
	var told []string
	tell, _ := s.registry.Commit(decision, s.world.Now, time.Hour, MaxVehicles)
	for _, order := range tell {
		told = append(told, order.Vehicle.Key.Vehicle)
	}
	return decision, told
}

func (s *street) fact(decision Decision) AssignmentFact {
	return decision.Cells["home-0"].Assignments[0]
}

// homeCells is one pool of so many cells, each with room for so many vehicles and orders for so many workloads and replicas.
func homeCells(cells, workloads, vehicles, replicas int) World {
	world := World{
		Now: noon, Pools: []Pool{{Name: "home", Fleet: "f", Hardware: "hw4", Memory: 8 * gib, KeepFor: time.Minute}},
		Workloads: map[string]Workload{}, Routers: routers(3, noon), Staged: map[string]int64{digest: 1},
	}
	for i := range cells {
		cell := Cell{Name: fmt.Sprintf("home-%d", i), Pool: "home", MaxVehicles: vehicles}
		for j := range workloads {
			name := fmt.Sprintf("n/w%d", j)
			world.Workloads[name] = Workload{Name: name, Model: name, Memory: gib}
			cell.Orders = append(cell.Orders, Order{Workload: name, Digest: digest, Replicas: replicas})
		}
		world.Cells = append(world.Cells, cell)
	}
	return world
}
