package fleet

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// TestEveryFieldOfAVehicleCounts changes each field of a vehicle alone: a field that a decision may depend on and that the
// comparison leaves out would freeze old decisions.
func TestEveryFieldOfAVehicleCounts(t *testing.T) {
	without := map[string]bool{"Vehicle.LastHeard": true, "Vehicle.Others": true, "State.RTTMillis": true, "State.LeavingWithin": true}
	whole := func() Vehicle {
		return Vehicle{Given: map[string]string{}, Refusals: map[string]Refusal{}}
	}
	check := func(name string, change func(*Vehicle) reflect.Value) {
		a, b := whole(), whole()
		place := change(&b)
		for i := range place.NumField() {
			field := name + "." + place.Type().Field(i).Name
			if kind := place.Field(i).Kind(); kind == reflect.Struct && field != "Vehicle.Key" && field != "Vehicle.LastHeard" {
				continue // its own fields are tried
			}
			b = whole()
			place = change(&b)
			set(t, place.Field(i))
			if decidesAlike(&a, &b) != without[field] {
				t.Errorf("a change of %s: decides alike is %t", field, !without[field])
			}
		}
	}
	check("Vehicle", func(v *Vehicle) reflect.Value { return reflect.ValueOf(v).Elem() })
	check("Hello", func(v *Vehicle) reflect.Value { return reflect.ValueOf(&v.Hello).Elem() })
	check("State", func(v *Vehicle) reflect.Value { return reflect.ValueOf(&v.State).Elem() })
}

// set gives a field a value that it does not have.
func set(t *testing.T, field reflect.Value) {
	t.Helper()
	switch value := field.Addr().Interface().(type) {
	case *string:
		*value = "x"
	case *int:
		*value = 1
	case *int64:
		*value = 1
	case *float64:
		*value = 1
	case *bool:
		*value = true
	case *[]string:
		*value = []string{"x"}
	case *Leaving:
		*value = Leaving{5, 10, 20}
	case *[]HeldByVehicle:
		*value = []HeldByVehicle{{Workload: "x"}}
	case *map[string]string:
		*value = map[string]string{"x": "y"}
	case *map[string]Refusal:
		*value = map[string]Refusal{"x": {Times: 1}}
	case *Key:
		*value = Key{"x", "y"}
	case *time.Time:
		*value = noon
	case **Others:
		*value = &Others{}
	default:
		t.Fatalf("the test cannot change a %s; teach it, and decidesAlike", field.Type())
	}
}

// TestADeciderDecidesAsDecideDoes plays a fleet for a while, in which one thing or another changes at each step.
func TestADeciderDecidesAsDecideDoes(t *testing.T) {
	for seed := range uint64(20) {
		chance, decider, world := rand.New(rand.NewPCG(seed, 1)), NewDecider(), smallFleet()
		for step := range 60 {
			want, got := Decide(copied(world)), decider.Decide(copied(world))
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d, step %d: %+v is not %+v", seed, step, got, want)
			}
			adopt(world.Vehicles, want)
			disturb(chance, &world)
		}
	}
}

func smallFleet() World {
	world := homeCells(3, 2, 5, 2)
	for i := range 12 {
		world.Vehicles = append(world.Vehicles, &Vehicle{
			Key: Key{"f", fmt.Sprintf("v-%02d", i)}, HasHello: true, HasState: true, Heard: true, LastHeard: noon, State: wellState(),
			Hello: Hello{Hardware: "hw4", Memory: 8 * gib}, Given: map[string]string{}, Refusals: map[string]Refusal{},
		})
	}
	return world
}

// copied has its own lists, which decisions order.
func copied(world World) World {
	world.Vehicles = slices.Clone(world.Vehicles)
	world.Cells = append([]Cell(nil), world.Cells...)
	world.Pools = append([]Pool(nil), world.Pools...)
	return world
}

// adopt does what Commit does.
func adopt(vehicles []*Vehicle, decision Decision) {
	for i := range vehicles {
		v := changeable(vehicles, i)
		v.Cell, v.Given = decision.Told(v.Key).Cell, map[string]string{}
		for _, assignment := range decision.Told(v.Key).Desired.Assignments {
			v.Given[assignment.Workload] = assignment.Digest
		}
	}
}

// changeable is a vehicle that no earlier decision has seen.
func changeable(vehicles []*Vehicle, i int) *Vehicle {
	v := *vehicles[i]
	vehicles[i] = &v
	return &v
}

func disturb(chance *rand.Rand, world *World) {
	v := changeable(world.Vehicles, chance.IntN(len(world.Vehicles)))
	world.Now = world.Now.Add(time.Duration(chance.IntN(20)) * time.Second)
	switch chance.IntN(12) {
	case 0:
		v.LastHeard = world.Now
	case 1:
		v.State.Eligible = !v.State.Eligible
	case 2:
		v.State.RTTMillis = float64(chance.IntN(100))
	case 3, 4:
		var held []HeldByVehicle
		for workload, given := range v.Given {
			held = append(held, HeldByVehicle{Workload: workload, Digest: given, Phase: PhaseReady})
		}
		v.State.Assignments = held
	case 5:
		v.Refusals = map[string]Refusal{"n/w0": {Digest: digest, Phase: PhaseRefused, Reason: "No", Until: world.Now.Add(30 * time.Second)}}
	case 6:
		order := &world.Cells[chance.IntN(len(world.Cells))]
		order.Orders = append([]Order(nil), order.Orders...)
		order.Orders[0].Replicas = chance.IntN(4)
	case 7:
		world.Routers = routers(1+chance.IntN(3), noon)
	case 8:
		world.Staged = map[string]int64{digest: int64(chance.IntN(2))}
	case 10:
		seen := Sighting{Source(chance.IntN(int(sources))), []Claim{PluggedIn, Unplugged, Departed}[chance.IntN(3)], world.Now}
		v.Others, _ = v.Others.With(seen)
	case 9:
		for i := range world.Vehicles {
			changeable(world.Vehicles, i).LastHeard = world.Now
		}
	case 11:
		v.State.LeavingWithin = Leaving{0, float64(5 * chance.IntN(3)), 10}
	}
}
