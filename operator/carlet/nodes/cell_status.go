package nodes

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"

	"parkade.dev/carlet/fleet"
	"parkade.dev/carlet/internal/metrics"
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
	shown := map[[2]string][]int{}
	for _, row := range before.Supply {
		shown[[2]string{row.Link, row.State}] = row.Leaving
	}
	for _, row := range facts.Supply {
		status.Supply = append(status.Supply, supplyStatus{
			Link: row.Link, State: row.State, Vehicles: row.Vehicles, Free: row.Free,
			RTTMillis: roundTrip{int(math.Round(row.P50)), int(math.Round(row.P99))},
			Leaving:   steady(shown[[2]string{row.Link, row.State}], shares(row)),
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

// supplyIntervals is how many intervals a change waits that no decision waits for: 10 s by default.
const supplyIntervals = 5

// urgent says whether a status differs in what is ready or why not, or by more than a tenth of a number of vehicles.
func urgent(before, after cellStatus) bool {
	much := func(a, b int) bool { return 10*max(a-b, b-a) > max(a, b) }
	if before.ObservedGeneration != after.ObservedGeneration || len(before.Conditions) != len(after.Conditions) ||
		len(before.Assignments) != len(after.Assignments) || len(before.Supply) != len(after.Supply) {
		return true
	}
	for i, a := range before.Conditions {
		if b := after.Conditions[i]; a.Type != b.Type || a.Status != b.Status || a.Reason != b.Reason {
			return true
		}
	}
	for i, a := range before.Assignments {
		if b := after.Assignments[i]; a.Workload != b.Workload || a.Desired != b.Desired || a.Ready != b.Ready || a.Reason != b.Reason {
			return true
		}
	}
	for i, a := range before.Supply {
		b := after.Supply[i]
		if a.Link != b.Link || a.State != b.State || much(a.Vehicles, b.Vehicles) || much(a.Free, b.Free) {
			return true
		}
	}
	a, b := before.Vehicles, after.Vehicles
	return much(a.Registered, b.Registered) || much(a.Here, b.Here) || much(a.Silent, b.Silent) || much(a.Gone, b.Gone) ||
		much(a.Eligible, b.Eligible) || much(a.Serving, b.Serving) || much(a.Waiting, b.Waiting)
}

// cellWriter writes the status of cells: only what differs from what the API server shows, and one cell at most once an
// interval, or once in supplyIntervals if hardly anything differs.
type cellWriter struct {
	custom   dynamic.Interface
	sources  *sources
	interval time.Duration
	metrics  *metrics.Metrics
	log      *slog.Logger
	changed  chan struct{}

	mu      sync.Mutex
	cells   map[string]fleet.Cell
	facts   map[string]fleet.CellFacts
	written map[string]time.Time
	seen    map[string]compared
}

// compared is a cell whose status was found to be as it should be.
type compared struct {
	version string
	cell    fleet.Cell
	facts   fleet.CellFacts
}

func (w *cellWriter) show(cells []cellIdentity, facts map[string]fleet.CellFacts) {
	byName := make(map[string]fleet.Cell, len(cells))
	for _, cell := range cells {
		byName[cell.Name] = cell.Cell
	}
	w.mu.Lock()
	w.cells, w.facts = byName, facts
	w.mu.Unlock()
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *cellWriter) run(ctx context.Context) {
	tick := time.NewTicker(w.interval / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.changed:
		case <-tick.C:
		}
		w.writeAll(ctx)
	}
}

func (w *cellWriter) writeAll(ctx context.Context) {
	w.mu.Lock()
	cells, facts := w.cells, w.facts
	w.mu.Unlock()
	for _, object := range w.sources.list(cellsResource) {
		current, ok := object.(*unstructured.Unstructured)
		if !ok {
			continue
		}
		name, now := current.GetName(), time.Now()
		cell, known := cells[name]
		if !known || now.Sub(w.written[name]) < w.interval {
			continue
		}
		found := compared{current.GetResourceVersion(), cell, facts[name]}
		if reflect.DeepEqual(w.seen[name], found) {
			continue
		}
		before := shownStatus(current)
		status := statusFor(cell, facts[name], before, now)
		if sameStatus(before, status) {
			w.seen[name] = found
			continue
		}
		if !urgent(before, status) && now.Sub(w.written[name]) < supplyIntervals*w.interval {
			continue
		}
		w.written[name] = now
		w.count(name, w.apply(ctx, name, status))
	}
}

func (w *cellWriter) apply(ctx context.Context, name string, status cellStatus) error {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&status)
	if err != nil {
		return err
	}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": group + "/" + version,
		"kind":       "VehicleCell",
		"metadata":   map[string]any{"name": name},
		"status":     content,
	}}
	options := metav1.ApplyOptions{FieldManager: fieldManager, Force: true}
	_, err = w.custom.Resource(cellsResource).ApplyStatus(ctx, name, object, options)
	return err
}

func (w *cellWriter) count(name string, err error) {
	switch {
	case err == nil:
		w.metrics.CellWrites.WithLabelValues("written").Inc()
	case apierrors.IsNotFound(err): // deleted meanwhile
		w.metrics.CellWrites.WithLabelValues("not_found").Inc()
	default:
		w.metrics.CellWrites.WithLabelValues("failed").Inc()
		w.log.Warn("status of a cell is not written and will be tried again", "cell", name, "error", err)
	}
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
