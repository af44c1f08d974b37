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
		decision.Vehicles[v.Key] = fleet.Told{Cell: "cell", Presence: fleet.Here}
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
