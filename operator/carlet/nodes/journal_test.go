package nodes

import (
	"strings"
	"testing"
	"time"

	"parkade.dev/carlet/fleet"
)

func TestTheJournalForgetsAVehicleThatNobodyKnows(t *testing.T) {
	j, now := newJournal(), time.Now()
	decision := fleet.Decision{
		Cells:    map[string]fleet.CellFacts{"cell": {Assignments: []fleet.AssignmentFact{{Workload: "n/w"}}}},
		Vehicles: map[fleet.Key]fleet.Told{},
	}
	var world fleet.World
	for _, name := range []string{"v-1", "v-2"} {
		v := fleet.Vehicle{Key: fleet.Key{Fleet: "f", Vehicle: name}}
		v.State.Assignments = []fleet.HeldByVehicle{{Workload: "n/w", Digest: "d", Phase: fleet.PhaseReady}}
		world.Vehicles = append(world.Vehicles, v)
		decision.Vehicles[v.Key] = fleet.Told{Cell: "cell", Standing: fleet.Standing{Presence: fleet.Here, By: fleet.ByHeartbeat}}
	}
	read := func() string { return j.text(place{"n/w", "cell"}, -1, time.Time{}) }
	gone, stays := alias(world.Vehicles[0].Key), alias(world.Vehicles[1].Key)
	j.record(world, decision, now)
	if text := read(); !strings.Contains(text, gone) || !strings.Contains(text, stays) {
		t.Fatal(text)
	}
	world.Vehicles = world.Vehicles[1:]
	j.record(world, decision, now)
	if text := read(); strings.Contains(text, gone) || !strings.Contains(text, stays) || len(j.phases) != 1 {
		t.Error(text)
	}
}

func TestTheJournalSaysWhoSawAVehicleAndNeverItsName(t *testing.T) {
	j, now := newJournal(), time.Now()
	v := fleet.Vehicle{Key: fleet.Key{Fleet: "f", Vehicle: "v-1"}}
	v.State.Assignments = []fleet.HeldByVehicle{{Workload: "n/w", Digest: "d", Phase: fleet.PhaseReady}}
	cells := map[string]fleet.CellFacts{"cell": {Assignments: []fleet.AssignmentFact{{Workload: "n/w"}}}}
	for i, c := range []struct {
		standing fleet.Standing
		want     string
	}{
		{fleet.Standing{Presence: fleet.Here, By: fleet.ByHeartbeat}, "Ready d"},
		{fleet.Standing{Presence: fleet.Silent, By: fleet.ByNobody}, "Ready d, Silent: nobody sees it"},
		{fleet.Standing{Presence: fleet.Silent, By: fleet.ByCharger}, "Ready d, Silent: its charger sees it plugged in"},
		{fleet.Standing{Presence: fleet.Gone, By: fleet.ByMaker}, "Ready d, Gone: its maker saw it leave"},
		{fleet.Standing{Presence: fleet.Gone, By: fleet.ByAnnouncement}, "Ready d, Gone: it announced that it leaves"},
		{fleet.Standing{Presence: fleet.Gone, By: fleet.ByRevocation}, "Ready d, Gone: it was revoked"},
	} {
		told := map[fleet.Key]fleet.Told{v.Key: {Cell: "cell", Standing: c.standing}}
		j.record(fleet.World{Vehicles: []fleet.Vehicle{v}}, fleet.Decision{Cells: cells, Vehicles: told}, now)
		lines := strings.Split(strings.TrimSpace(j.text(place{"n/w", "cell"}, -1, time.Time{})), "\n")
		if last := lines[len(lines)-1]; len(lines) != i+1 || !strings.HasSuffix(last, "vehicle "+alias(v.Key)+": "+c.want) {
			t.Errorf("%+v: %d lines, the last is %q", c.standing, len(lines), last)
		}
	}
	if text := j.text(place{"n/w", "cell"}, -1, time.Time{}); strings.Contains(text, v.Key.Vehicle) {
		t.Error(text)
	}
}
