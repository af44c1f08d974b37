package nodes

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"parkade.dev/carlet/fleet"
)

func TestConditionsOfACell(t *testing.T) {
	cell, began := fleet.Cell{Name: "home-0", Generation: 4}, time.Now()
	missing := fleet.AssignmentFact{Workload: "n/w", Desired: 1, Reason: "NoVehicle", Message: "no car"}
	before := cellStatus{}
	for round, c := range []struct {
		facts             fleet.CellFacts
		ready, understood string // reason of each
		sentence          string
	}{
		{fleet.CellFacts{}, "OrdersMet", "AllUnderstood", "every vehicle speaks"},
		{fleet.CellFacts{Malformed: 1}, "OrdersMet", "MalformedMessages", "1 vehicle sent"},
		{fleet.CellFacts{Malformed: 2}, "OrdersMet", "MalformedMessages", "2 vehicles sent"},
		{fleet.CellFacts{Assignments: []fleet.AssignmentFact{missing}}, "NoVehicle", "AllUnderstood", "every vehicle speaks"},
	} {
		now := began.Add(time.Duration(round) * time.Minute)
		status := statusFor(cell, c.facts, before, now)
		ready, understood := condition(t, status, "Ready"), condition(t, status, "MessagesUnderstood")
		if ready.Reason != c.ready || understood.Reason != c.understood || !strings.Contains(understood.Message, c.sentence) {
			t.Errorf("round %d: %+v, %+v", round, ready, understood)
		}
		if (understood.Status == metav1.ConditionFalse) != (c.facts.Malformed > 0) || understood.ObservedGeneration != 4 {
			t.Errorf("round %d: %+v", round, understood)
		}
		if understood.Status == metav1.ConditionFalse && !strings.Contains(understood.Message, "update or restart") {
			t.Errorf("round %d names no remedy: %s", round, understood.Message)
		}
		for _, shown := range before.Conditions {
			current := condition(t, status, shown.Type)
			if changed := current.Status != shown.Status; changed == current.LastTransitionTime.Equal(&shown.LastTransitionTime) {
				t.Errorf("round %d: %s changed: %v, but its transition went from %s to %s", round, shown.Type, changed,
					shown.LastTransitionTime, current.LastTransitionTime)
			}
		}
		before = status
	}
}

func TestACordonIsTold(t *testing.T) {
	held := fleet.CellFacts{Assignments: []fleet.AssignmentFact{{Workload: "n/w", Desired: 1, Ready: 1}}}
	for _, c := range []struct {
		cordoned bool
		facts    fleet.CellFacts
		reason   string
		status   metav1.ConditionStatus
	}{
		{false, held, "Uncordoned", metav1.ConditionTrue},
		{true, held, "Cordoned", metav1.ConditionFalse},
		{true, fleet.CellFacts{}, "Drained", metav1.ConditionFalse},
	} {
		cell := fleet.Cell{Name: "home-0", Cordoned: c.cordoned}
		shown := condition(t, statusFor(cell, c.facts, cellStatus{}, time.Now()), "Schedulable")
		if shown.Reason != c.reason || shown.Status != c.status {
			t.Errorf("%+v", shown)
		}
		if c.cordoned && !strings.Contains(shown.Message, "kubectl uncordon home-0") {
			t.Errorf("no remedy is named: %s", shown.Message)
		}
	}
}

func condition(t *testing.T, status cellStatus, kind string) metav1.Condition {
	t.Helper()
	for _, condition := range status.Conditions {
		if condition.Type == kind {
			return condition
		}
	}
	t.Fatalf("no condition %s in %+v", kind, status.Conditions)
	return metav1.Condition{}
}

func TestVehiclesAloneAreNoUrgentNews(t *testing.T) {
	status := func(here, free, ready int, reason string) cellStatus {
		return cellStatus{
			Vehicles:    cellVehicles{Registered: 500, Here: here},
			Supply:      []supplyStatus{{Link: "WiFi", State: "Asleep", Vehicles: here, Free: free}},
			Assignments: []assignmentStatus{{Workload: "n/w", Desired: 2, Ready: ready, Reason: reason}},
		}
	}
	before, nobody := status(500, 400, 2, "Ready"), status(0, 0, 2, "Ready")
	nobody.Supply = nil
	for _, c := range []struct {
		name  string
		after cellStatus
		want  bool
	}{
		{"one car fewer", status(499, 399, 2, "Ready"), false},
		{"half of the cars", status(250, 200, 2, "Ready"), false},
		{"nobody", nobody, true},
		{"a replica fewer", status(500, 400, 1, "Ready"), true},
		{"another reason", status(500, 400, 2, "Silent"), true},
	} {
		if got := urgent(before, c.after); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
	if !urgent(cellStatus{}, before) || urgent(before, before) {
		t.Error("the first status waits, or the same one does not")
	}
}

func TestRoundTripsAloneWaitLongest(t *testing.T) {
	status := func(vehicles, p50 int) cellStatus {
		return cellStatus{Supply: []supplyStatus{{Link: "WiFi", State: "Asleep", Vehicles: vehicles, RTTMillis: roundTrip{p50, p50}}}}
	}
	for _, c := range []struct {
		name          string
		before, after cellStatus
		want          time.Duration
	}{
		{"round trips", status(5, 20), status(5, 60), roundTripIntervals},
		{"the first round trips", status(5, 0), status(5, 60), supplyIntervals},
		{"a car and round trips", status(5, 20), status(4, 60), supplyIntervals},
		{"nobody any more", status(5, 20), cellStatus{}, 1},
	} {
		if got := intervals(c.before, c.after); got != c.want {
			t.Errorf("%s wait %d intervals, not %d", c.name, got, c.want)
		}
	}
}

func TestRoundTripsAreShownAnewWhenTheyAreOthers(t *testing.T) {
	status := cellStatus{}
	for _, c := range []struct {
		p50, p99 float64
		want     roundTrip
	}{
		{30, 60, roundTrip{30, 60}},
		{33, 68, roundTrip{30, 60}},
		{33, 90, roundTrip{33, 90}},
		{2, 3, roundTrip{2, 3}},
		{6, 7, roundTrip{2, 3}},
		{12, 14, roundTrip{12, 14}},
	} {
		facts := fleet.CellFacts{Supply: []fleet.SupplyRow{{Link: "WiFi", State: "Asleep", Vehicles: 5, P50: c.p50, P99: c.p99}}}
		status = statusFor(fleet.Cell{}, facts, status, time.Now())
		if got := status.Supply[0].RTTMillis; got != c.want {
			t.Errorf("%g and %g ms are shown as %+v, not %+v", c.p50, c.p99, got, c.want)
		}
	}
}

func TestACellSaysOnWhoseWordItsVehiclesAreSilentOrGone(t *testing.T) {
	facts := fleet.CellFacts{
		Counts: fleet.Counts{Registered: 10, Here: 3, Silent: 4, Gone: 3},
		Standings: map[fleet.Standing]int{
			{Presence: fleet.Here, By: fleet.ByHeartbeat}: 3, {Presence: fleet.Silent, By: fleet.ByCharger}: 3, {Presence: fleet.Silent, By: fleet.ByNobody}: 1,
			{Presence: fleet.Gone, By: fleet.ByAnnouncement}: 1, {Presence: fleet.Gone, By: fleet.ByMaker}: 2,
		},
	}
	const sentence = "3 of 10 vehicles here, 4 silent (3 seen by their chargers, 1 seen by nobody), 3 gone (1 announced it, 2 seen leaving by their maker)"
	shown := condition(t, statusFor(fleet.Cell{}, facts, cellStatus{}, time.Now()), "VehiclesPresent")
	if shown.Status != metav1.ConditionTrue || shown.Reason != "Here" || shown.Message != sentence {
		t.Errorf("%+v", shown)
	}
	for _, c := range nodeConditions(facts, time.Now(), time.Now()) {
		if c.Type == VehiclesPresent && c.Message != sentence+", 0 eligible, 0 serving" {
			t.Errorf("the node says %q", c.Message)
		}
	}
	facts.Counts = fleet.Counts{Registered: 10, Gone: 10}
	if shown := condition(t, statusFor(fleet.Cell{}, facts, cellStatus{}, time.Now()), "VehiclesPresent"); shown.Status != metav1.ConditionFalse || shown.Reason != "NobodyHere" {
		t.Errorf("%+v", shown)
	}
	every := []fleet.Standing{}
	for presence, parts := range standings {
		for _, part := range parts {
			every = append(every, fleet.Standing{Presence: presence, By: part.by})
		}
	}
	if len(every) != 8 {
		t.Errorf("%d standings have words: %v", len(every), every)
	}
}

func TestForecastsAreShownInWholePercentAndAsSteadyAsTheyAre(t *testing.T) {
	cell, status := fleet.Cell{Name: "home-0"}, cellStatus{}
	for _, c := range []struct {
		leaving fleet.Leaving
		want    []int
		why     string
	}{
		{nil, []int{0, 0, 0}, "no car has a forecast"},
		{fleet.Leaving{0, 0, 0.2}, []int{0, 0, 1}, "hardly anybody leaves, which is not the same as no forecast"},
		{fleet.Leaving{0.6, 2.4, 6.6}, []int{0, 1, 7}, "a rounded-up percent in 5 minutes would be 12 % an hour"},
		{fleet.Leaving{1.7, 2.6, 7.6}, []int{0, 1, 7}, "a car or two that pass a step are no news"},
		{fleet.Leaving{2.7, 4.6, 10}, []int{2, 4, 10}, "a change is"},
		{fleet.Leaving{20.5, 40.5, 80}, []int{20, 40, 80}, "the rush"},
		{fleet.Leaving{22, 44, 70}, []int{20, 40, 80}, "noise of a large share is larger"},
		{nil, []int{0, 0, 0}, "forecasts end"},
	} {
		facts := fleet.CellFacts{Supply: []fleet.SupplyRow{{Link: "WiFi", State: "Asleep", Vehicles: 120, Leaving: c.leaving, Tellers: 100}}}
		next := statusFor(cell, facts, status, time.Now())
		if got := next.Supply[0].Leaving; !slices.Equal(got, c.want) {
			t.Errorf("%s: %v shows as %v, not %v", c.why, c.leaving, got, c.want)
		}
		if urgent(status, next) && len(status.Supply) > 0 {
			t.Errorf("%s: a forecast is written at once", c.why)
		}
		status = next
	}
}

func TestOneCarsStepIsNoRush(t *testing.T) {
	for _, c := range []struct {
		leaving fleet.Leaving
		tellers int
		want    []int
	}{
		{fleet.Leaving{5, 5, 10}, 1, []int{0, 0, 10}},       // it leaves within 5 minutes by 1 % as well as by 9 %
		{fleet.Leaving{1.25, 2.5, 7.5}, 4, []int{0, 0, 8}},  // one of four
		{fleet.Leaving{60, 80, 100}, 1, []int{55, 75, 100}}, // it is sure
	} {
		if got := shares(fleet.SupplyRow{Leaving: c.leaving, Tellers: c.tellers}); !slices.Equal(got, c.want) {
			t.Errorf("%v of %d cars shows as %v, not %v", c.leaving, c.tellers, got, c.want)
		}
	}
}
