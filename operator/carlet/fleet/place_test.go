package fleet

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

func members(count int, pool, cell string) []Member {
	all := make([]Member, 0, count)
	for i := range count {
		all = append(all, Member{Key: Key{"f", fmt.Sprintf("v-%d", i)}, Pool: pool, Cell: cell})
	}
	return all
}

func TestPlace(t *testing.T) {
	rooms := []Room{{Cell: "a-0", Pool: "a", Max: 2}, {Cell: "a-1", Pool: "a", Max: 2}, {Cell: "b-0", Pool: "b", Max: 2}}
	key := Key{"f", "v-0"}
	for _, c := range []struct {
		name   string
		member Member
		want   []string
	}{
		{"stays where it was told", Member{Key: key, Pool: "a", Cell: "a-1"}, []string{"a-1"}},
		{"a cell of another pool does not count", Member{Key: key, Pool: "a", Cell: "b-0"}, []string{"a-0", "a-1"}},
		{"a cell that is gone does not count", Member{Key: key, Pool: "a", Cell: "a-9"}, []string{"a-0", "a-1"}},
		{"new ones get a cell of their pool", Member{Key: key, Pool: "b", Cell: ""}, []string{"b-0"}},
		{"a pool without cells waits", Member{Key: key, Pool: "c", Cell: ""}, []string{""}},
	} {
		got := Place([]Member{c.member}, rooms)[key]
		found := false
		for _, want := range c.want {
			found = found || got == want
		}
		if !found {
			t.Errorf("%s: %q, want one of %q", c.name, got, c.want)
		}
	}
}

func TestPlaceNeverOverfillsAndIsSticky(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var rooms []Room
		total := 0
		for i := range 1 + random.IntN(4) {
			rooms = append(rooms, Room{Cell: fmt.Sprintf("a-%d", i), Pool: "a", Max: random.IntN(6)})
			total += rooms[i].Max
		}
		all := members(random.IntN(20), "a", "")
		for i := range all {
			all[i].Cell = []string{"", "a-0", "a-1", "b-0"}[random.IntN(4)]
		}
		placed := Place(all, rooms)
		count := map[string]int{}
		for _, cell := range placed {
			count[cell]++
		}
		for _, room := range rooms {
			if count[room.Cell] > room.Max {
				t.Fatalf("%s holds %d of %d", room.Cell, count[room.Cell], room.Max)
			}
		}
		if want := min(len(all), total); len(placed) != want {
			t.Fatalf("%d placed, want %d", len(placed), want)
		}
		for i := range all {
			all[i].Cell = placed[all[i].Key]
		}
		if again := Place(all, rooms); !maps.Equal(again, placed) {
			t.Fatalf("placing again moved vehicles: %v, then %v", placed, again)
		}
		if grown := Place(append(all, Member{Key: Key{"f", "new"}, Pool: "a"}), rooms); len(all) < total && len(grown) != len(placed)+1 {
			t.Fatal("a newcomer found no cell though there was room")
		}
	}
}

func TestAClosedCellKeepsItsOwnAndTakesNobody(t *testing.T) {
	inside, outside, late := Key{"f", "in"}, Key{"f", "out"}, Key{"f", "late"}
	rooms := []Room{{Cell: "a-0", Pool: "a", Max: 5, Closed: true}, {Cell: "a-1", Pool: "a", Max: 1}}
	placed := Place([]Member{{Key: inside, Pool: "a", Cell: "a-0"}, {Key: outside, Pool: "a"}, {Key: late, Pool: "a"}}, rooms)
	if placed[inside] != "a-0" || len(placed) != 2 || placed[outside] == "a-0" || placed[late] == "a-0" {
		t.Errorf("placed are %v", placed)
	}
}

func TestACordonedCellKeepsWhatItHoldsAndTakesNobody(t *testing.T) {
	s := newStreet(t, 1)
	s.hello("v-1")
	s.say("v-1", KindState, wellState(held(PhaseReady)), false)
	s.decide()
	s.world.Cells[0].Cordoned = true
	s.arrive("v-2")
	decision, _ := s.decide()
	inside, outside := decision.Told(Key{"f", "v-1"}).Desired, decision.Told(Key{"f", "v-2"}).Desired
	if inside.Cell != "home-0" || len(inside.Assignments) != 1 || outside.Cell != "" {
		t.Errorf("inside: %+v, outside: %+v", inside, outside)
	}
}

func TestPlaceMovesNoWorkForASplitOrAMerge(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		var rooms []Room
		byCell := map[string]Room{}
		for i := range 2 + random.IntN(3) {
			room := Room{Cell: fmt.Sprintf("a-%d", i), Pool: "a", Max: 1 + random.IntN(8), Closing: i > 0 && random.IntN(2) == 0}
			rooms, byCell[room.Cell] = append(rooms, room), room
		}
		all := members(random.IntN(25), "a", "")
		holders, inside := map[string]int{}, map[string]int{}
		for i := range all {
			cell := rooms[random.IntN(len(rooms))].Cell
			all[i].Cell = cell
			if holders[cell] < byCell[cell].Max && random.IntN(3) == 0 {
				all[i].Holds = true
				holders[cell]++
			}
		}
		placed := Place(all, rooms)
		for _, cell := range placed {
			inside[cell]++
		}
		free := 0
		for _, room := range rooms {
			if !room.Closing {
				free += room.Max - inside[room.Cell]
			}
		}
		for _, m := range all {
			switch cell := placed[m.Key]; {
			case m.Holds && cell != m.Cell:
				t.Fatalf("work moves from %s to %q", m.Cell, cell)
			case cell == "" && free > 0:
				t.Fatalf("%v waits though there is room", m.Key)
			case cell != "" && byCell[cell].Closing && cell != m.Cell:
				t.Fatalf("a closing cell takes a vehicle of %s", m.Cell)
			case cell != "" && byCell[cell].Closing && !m.Holds && free > 0:
				t.Fatalf("%v stays in a closing cell without work, though there is room", m.Key)
			}
		}
		for i := range all {
			all[i].Cell = placed[all[i].Key]
		}
		if again := Place(all, rooms); !maps.Equal(again, placed) {
			t.Fatalf("placing again moved vehicles: %v, then %v", placed, again)
		}
	}
}

func TestAClosingCellKeepsItsWorkAndLetsTheOthersGo(t *testing.T) {
	world := homeCells(2, 1, 10, 2)
	world.Cells[1].Orders = nil
	for i := range 4 {
		v := &Vehicle{
			Key: Key{"f", fmt.Sprintf("v-%d", i)}, HasHello: true, HasState: true, Heard: true, LastHeard: noon, State: wellState(),
			Hello: Hello{Hardware: "hw4", Memory: 8 * gib, Cell: world.Cells[0].Name}, Given: map[string]string{}, Refusals: map[string]Refusal{},
		}
		world.Vehicles = append(world.Vehicles, v)
	}
	decider := NewDecider()
	adopt(world.Vehicles, decider.Decide(copied(world)))
	world.Cells = append([]Cell(nil), world.Cells...)
	world.Cells[0].Closing = true
	decision := decider.Decide(copied(world))
	for _, v := range world.Vehicles {
		told, want := decision.Told(v.Key), world.Cells[1].Name
		if len(v.Given) > 0 {
			want = world.Cells[0].Name
		}
		if told.Cell != want || len(told.Desired.Assignments) != len(v.Given) {
			t.Errorf("%v holds %v and is told %s and %v", v.Key, v.Given, told.Cell, told.Desired.Assignments)
		}
	}
	if closing, other := decision.Cells[world.Cells[0].Name], decision.Cells[world.Cells[1].Name]; closing.Counts.Registered != 2 || other.Counts.Registered != 2 {
		t.Errorf("%+v, %+v", closing.Counts, other.Counts)
	}
	adopt(world.Vehicles, decision)
	world.Cells[0].Orders = nil // the work goes, and then they follow
	adopt(world.Vehicles, decider.Decide(copied(world)))
	if last := decider.Decide(copied(world)); last.Cells[world.Cells[0].Name].Counts.Registered != 0 || last.Cells[world.Cells[1].Name].Counts.Registered != 4 {
		t.Errorf("%+v", last.Cells)
	}
}
