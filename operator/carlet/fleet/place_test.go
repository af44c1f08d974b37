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
	rooms := []Room{{"a-0", "a", 2, false}, {"a-1", "a", 2, false}, {"b-0", "b", 2, false}}
	key := Key{"f", "v-0"}
	for _, c := range []struct {
		name   string
		member Member
		want   []string
	}{
		{"stays where it was told", Member{key, "a", "a-1"}, []string{"a-1"}},
		{"a cell of another pool does not count", Member{key, "a", "b-0"}, []string{"a-0", "a-1"}},
		{"a cell that is gone does not count", Member{key, "a", "a-9"}, []string{"a-0", "a-1"}},
		{"new ones get a cell of their pool", Member{key, "b", ""}, []string{"b-0"}},
		{"a pool without cells waits", Member{key, "c", ""}, []string{""}},
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
			rooms = append(rooms, Room{fmt.Sprintf("a-%d", i), "a", random.IntN(6), false})
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
		if grown := Place(append(all, Member{Key{"f", "new"}, "a", ""}), rooms); len(all) < total && len(grown) != len(placed)+1 {
			t.Fatal("a newcomer found no cell though there was room")
		}
	}
}

func TestAClosedCellKeepsItsOwnAndTakesNobody(t *testing.T) {
	inside, outside, late := Key{"f", "in"}, Key{"f", "out"}, Key{"f", "late"}
	rooms := []Room{{"a-0", "a", 5, true}, {"a-1", "a", 1, false}}
	placed := Place([]Member{{inside, "a", "a-0"}, {outside, "a", ""}, {late, "a", ""}}, rooms)
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
	s.hello("v-2")
	s.say("v-2", KindState, wellState(), false)
	decision, _ := s.decide()
	inside, outside := decision.Vehicles[Key{"f", "v-1"}].Desired, decision.Vehicles[Key{"f", "v-2"}].Desired
	if inside.Cell != "home-0" || len(inside.Assignments) != 1 || outside.Cell != "" {
		t.Errorf("inside: %+v, outside: %+v", inside, outside)
	}
}
