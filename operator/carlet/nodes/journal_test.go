package nodes

import (
	"slices"
	"strings"
	"testing"
	"time"

	"parkade.dev/carlet/fleet"
)

func TestTheJournalForgetsAVehicleThatNobodyKnows(t *testing.T) {
	j, now := newJournal(), time.Now()
	decision := fleet.Decision{
		Cells: map[string]fleet.CellFacts{"cell": {Assignments: []fleet.AssignmentFact{{Workload: "n/w"}}}},
	}
	for _, name := range []string{"v-1", "v-2"} {
		v := &fleet.Vehicle{Key: fleet.Key{Fleet: "f", Vehicle: name}}
		v.State.Assignments = []fleet.HeldByVehicle{{Workload: "n/w", Digest: "d", Phase: fleet.PhaseReady}}
		here := fleet.Standing{Presence: fleet.Here, By: fleet.ByHeartbeat}
		decision.Vehicles = append(decision.Vehicles, fleet.Told{Vehicle: v, Cell: "cell", Standing: here})
	}
	read := func() string { return whole(j) }
	gone, stays := alias(decision.Vehicles[0].Vehicle.Key), alias(decision.Vehicles[1].Vehicle.Key)
	j.record(decision, now)
	if text := read(); !strings.Contains(text, gone) || !strings.Contains(text, stays) {
		t.Fatal(text)
	}
	decision.Vehicles = decision.Vehicles[1:]
	j.record(decision, now)
	if text := read(); strings.Contains(text, gone) || !strings.Contains(text, stays) {
		t.Error(text)
	}
}

func TestTheJournalSaysWhoSawAVehicleAndNeverItsName(t *testing.T) {
	j, now := newJournal(), time.Now()
	v := &fleet.Vehicle{Key: fleet.Key{Fleet: "f", Vehicle: "v-1"}}
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
		j.record(fleet.Decision{Cells: cells, Vehicles: []fleet.Told{{Vehicle: v, Cell: "cell", Standing: c.standing}}}, now)
		lines := strings.Split(strings.TrimSpace(whole(j)), "\n")
		if last := lines[len(lines)-1]; len(lines) != i+1 || !strings.HasSuffix(last, "vehicle "+alias(v.Key)+": "+c.want) {
			t.Errorf("%+v: %d lines, the last is %q", c.standing, len(lines), last)
		}
	}
	if text := whole(j); strings.Contains(text, v.Key.Vehicle) {
		t.Error(text)
	}
}

func whole(j *journal) string {
	text, _ := j.text(place{"n/w", "cell"}, -1, time.Time{})
	return text
}

func TestTheJournalIsReadByTailAndTimeAndFollowed(t *testing.T) {
	j, p, began := newJournal(), place{"n/w", "cell"}, time.Now()
	if text, _ := j.text(p, 1, began); !strings.Contains(text, "no recent events of n/w") {
		t.Errorf("an empty journal reads %q", text)
	}
	for i, word := range []string{"one", "two", "three"} {
		j.append(p, entry{at: began.Add(time.Duration(i) * time.Minute), text: word})
	}
	j.append(place{"n/w", "other"}, entry{at: began, text: "elsewhere"})
	for _, c := range []struct {
		tail  int
		since time.Time
		words []string
	}{
		{-1, time.Time{}, []string{"one", "two", "three"}},
		{2, time.Time{}, []string{"two", "three"}},
		{0, time.Time{}, nil},
		{-1, began.Add(time.Minute), []string{"two", "three"}},
		{1, began.Add(time.Hour), nil},
	} {
		text, _ := j.text(p, c.tail, c.since)
		var words []string
		for line := range strings.Lines(text) {
			words = append(words, strings.Fields(line)[1])
		}
		if !slices.Equal(words, c.words) {
			t.Errorf("tail %d: %v, want %v", c.tail, words, c.words)
		}
	}
	_, last := j.text(p, 0, time.Time{})
	j.append(p, entry{at: began, text: "four"})
	fresh, last := j.after(p, last)
	if again, _ := j.after(p, last); !strings.HasSuffix(fresh, " four\n") || strings.Count(fresh, "\n") != 1 || again != "" {
		t.Errorf("what followed is %q, then %q", fresh, again)
	}
}
