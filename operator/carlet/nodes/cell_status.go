package nodes

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"parkade.dev/carlet/fleet"
)

// fieldManager owns VehicleCell.status.
const fieldManager = "carlet"

// cellStatus is VehicleCell.status; docs/architecture.md.
type cellStatus struct {
	ObservedGeneration int64              `json:"observedGeneration"`
	Vehicles           cellVehicles       `json:"vehicles"`
	Supply             []supplyStatus     `json:"supply"`
	Assignments        []assignmentStatus `json:"assignments"`
	Conditions         []metav1.Condition `json:"conditions"`
}

type cellVehicles struct {
	Registered int `json:"registered"`
	Here       int `json:"here"`
	Silent     int `json:"silent"`
	Gone       int `json:"gone"`
	Eligible   int `json:"eligible"`
	Serving    int `json:"serving"`
	Waiting    int `json:"waiting"`
}

type supplyStatus struct {
	Link      string    `json:"link"`
	State     string    `json:"state"`
	Vehicles  int       `json:"vehicles"`
	Free      int       `json:"free"`
	RTTMillis roundTrip `json:"rttMillis"`
	Leaving   []int     `json:"leaving"`
}

type roundTrip struct {
	P50 int `json:"p50"`
	P99 int `json:"p99"`
}

type assignmentStatus struct {
	Workload           string `json:"workload"`
	Desired            int    `json:"desired"`
	Ready              int    `json:"ready"`
	Reason             string `json:"reason"`
	Message            string `json:"message"`
	ObservedGeneration int64  `json:"observedGeneration"`
}

// statusFor is the status of a cell; before is what it shows now, for the time of the last transition.
func statusFor(cell fleet.Cell, facts fleet.CellFacts, before cellStatus, now time.Time) cellStatus {
	status := cellStatus{
		ObservedGeneration: cell.Generation,
		Vehicles:           cellVehicles(facts.Counts),
		Supply:             []supplyStatus{},
		Assignments:        []assignmentStatus{},
	}
	shown := map[[2]string]supplyStatus{}
	for _, row := range before.Supply {
		shown[[2]string{row.Link, row.State}] = row
	}
	for _, row := range facts.Supply {
		then := shown[[2]string{row.Link, row.State}]
		status.Supply = append(status.Supply, supplyStatus{
			Link: row.Link, State: row.State, Vehicles: row.Vehicles, Free: row.Free,
			RTTMillis: then.RTTMillis.steady(roundTrip{int(math.Round(row.P50)), int(math.Round(row.P99))}),
			Leaving:   steady(then.Leaving, shares(row)),
		})
	}
	for _, fact := range facts.Assignments {
		status.Assignments = append(status.Assignments, assignmentStatus{
			Workload: fact.Workload, Desired: fact.Desired, Ready: fact.Ready,
			Reason: fact.Reason, Message: fact.Message, ObservedGeneration: cell.Generation,
		})
	}
	status.Conditions = []metav1.Condition{
		readyCondition(facts), presentCondition(facts), understoodCondition(facts), schedulableCondition(cell, facts),
	}
	for i := range status.Conditions {
		condition := &status.Conditions[i]
		condition.LastTransitionTime, condition.ObservedGeneration = conditionTime(now), cell.Generation
		for _, shown := range before.Conditions {
			if shown.Type == condition.Type && shown.Status == condition.Status {
				condition.LastTransitionTime = shown.LastTransitionTime
			}
		}
	}
	return status
}

// presentCondition says how many vehicles are here, and on whose word the others are Silent or Gone.
func presentCondition(facts fleet.CellFacts) metav1.Condition {
	condition := metav1.Condition{Type: string(VehiclesPresent), Status: metav1.ConditionTrue, Reason: "Here", Message: presenceSentence(facts)}
	if facts.Counts.Here == 0 {
		condition.Status, condition.Reason = metav1.ConditionFalse, "NobodyHere"
	}
	return condition
}

// presenceSentence counts vehicles by presence and evidence, the latter in the order of standings.
func presenceSentence(facts fleet.CellFacts) string {
	counts := facts.Counts
	text := fmt.Sprintf("%d of %d vehicles here", counts.Here, counts.Registered)
	for _, group := range []struct {
		presence fleet.Presence
		number   int
		word     string
	}{{fleet.Silent, counts.Silent, "silent"}, {fleet.Gone, counts.Gone, "gone"}} {
		text += fmt.Sprintf(", %d %s", group.number, group.word)
		separator := " ("
		for _, part := range standings[group.presence] {
			if number := facts.Standings[fleet.Standing{Presence: group.presence, By: part.by}]; number > 0 {
				text += fmt.Sprintf("%s%d %s", separator, number, part.words)
				separator = ", "
			}
		}
		if separator != " (" {
			text += ")"
		}
	}
	return text
}

type evidenceWords struct {
	by    fleet.Evidence
	words string
}

var standings = map[fleet.Presence][]evidenceWords{
	fleet.Silent: {
		{fleet.ByCharger, "seen by their chargers"}, {fleet.ByMaker, "seen by their maker"}, {fleet.ByNobody, "seen by nobody"},
	},
	fleet.Gone: {
		{fleet.ByAnnouncement, "announced it"}, {fleet.ByCharger, "unplugged at their chargers"}, {fleet.ByMaker, "seen leaving by their maker"},
		{fleet.ByNobody, "without a word"}, {fleet.ByRevocation, "revoked"},
	},
}

// shares are a forecast in whole percents. A planner takes them as rates, and half a percent too many in 5 minutes would be
// 6 % an hour: so within 5 and 15 minutes they are rounded down, after two standard errors of the cars' own steps (half a
// step over the root of their number each). Zeros alone mean that no car has a forecast, so that one of nearly nobody
// leaving shows as 1 % by 60 minutes.
func shares(row fleet.SupplyRow) []int {
	if row.Leaving == nil {
		return []int{0, 0, 0}
	}
	doubt := fleet.LeavingStep/math.Sqrt(float64(row.Tellers)) - tiny
	certain := func(percent float64) int { return int(max(0, math.Floor(percent-doubt))) }
	within5, within15 := certain(row.Leaving[0]), certain(row.Leaving[1])
	return []int{within5, within15, max(int(math.Round(row.Leaving[2])), within15, 1)}
}

// tiny is more than the error of a mean of whole numbers.
const tiny = 1e-9

// steady keeps the shares that are shown while others differ from them by no more than their noise: cars whose forecasts
// pass from one step to the next are no news.
func steady(shown, now []int) []int {
	if len(shown) != len(now) {
		return now
	}
	for i := range now {
		if difference := max(now[i]-shown[i], shown[i]-now[i]); difference > max(1, shown[i]/5) || (shown[i] == 0) != (now[i] == 0) && i == len(now)-1 {
			return now
		}
	}
	return shown
}

// roundTripNoise is the ms by which round trips differ from one measurement to the next, if a fifth is less.
const roundTripNoise = 5

// steady keeps what is shown while the round trips differ from it by no more than noise.
func (shown roundTrip) steady(now roundTrip) roundTrip {
	near := func(a, b int) bool { return max(a-b, b-a) <= max(roundTripNoise, a/5) }
	if near(shown.P50, now.P50) && near(shown.P99, now.P99) && shown != (roundTrip{}) {
		return shown
	}
	return now
}

// understoodCondition says whether the vehicles of the cell, and those that dial in for it, speak the protocol.
func understoodCondition(facts fleet.CellFacts) metav1.Condition {
	if facts.Malformed == 0 {
		return metav1.Condition{
			Type: "MessagesUnderstood", Status: metav1.ConditionTrue, Reason: "AllUnderstood",
			Message: "every vehicle speaks the protocol",
		}
	}
	vehicles := "vehicles"
	if facts.Malformed == 1 {
		vehicles = "vehicle"
	}
	return metav1.Condition{
		Type: "MessagesUnderstood", Status: metav1.ConditionFalse, Reason: "MalformedMessages",
		Message: fmt.Sprintf("%d %s sent messages that cannot be read within the last %d minutes; update or restart their agents. "+
			"What they hold goes on", facts.Malformed, vehicles, int(fleet.MalformedMemory.Minutes())),
	}
}

// schedulableCondition says whether the cell may be given more than it holds, which is the word of its node's user.
func schedulableCondition(cell fleet.Cell, facts fleet.CellFacts) metav1.Condition {
	condition := metav1.Condition{Type: "Schedulable", Status: metav1.ConditionFalse}
	switch held := len(facts.Assignments); {
	case !cell.Cordoned:
		condition.Status, condition.Reason = metav1.ConditionTrue, "Uncordoned"
		condition.Message = "the cell may be given replicas and vehicles"
	case held > 0:
		condition.Reason = "Cordoned"
		condition.Message = fmt.Sprintf("the node is cordoned: what runs here goes on while its pods are here (%d of the orders), and nothing "+
			"new comes; kubectl drain %s moves it elsewhere, kubectl uncordon %s ends this", held, cell.Name, cell.Name)
	default:
		condition.Reason = "Drained"
		condition.Message = "the node is cordoned and its vehicles are ordered to hold nothing; kubectl uncordon " + cell.Name + " ends this"
	}
	return condition
}

// readyCondition says whether the cell meets its orders, and if not, the first that it does not.
func readyCondition(facts fleet.CellFacts) metav1.Condition {
	condition := metav1.Condition{
		Type: "Ready", Status: metav1.ConditionTrue, Reason: "OrdersMet",
		Message: fmt.Sprintf("%d of %d vehicles here, %d workloads as ordered",
			facts.Counts.Here, facts.Counts.Registered, len(facts.Assignments)),
	}
	for _, fact := range facts.Assignments {
		if fact.Ready < fact.Desired {
			condition.Status, condition.Reason = metav1.ConditionFalse, fact.Reason
			condition.Message = fact.Workload + ": " + fact.Message
			return condition
		}
	}
	return condition
}

// shownStatus is what the API server shows; zero if there is none, or nothing that we wrote.
func shownStatus(object *unstructured.Unstructured) cellStatus {
	var shown struct {
		Status cellStatus `json:"status"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &shown); err != nil {
		return cellStatus{}
	}
	return shown.Status
}

func sameStatus(a, b cellStatus) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}
