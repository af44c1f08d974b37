package nodes

import (
	"context"
	"log/slog"
	"reflect"
	"slices"
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

// Intervals that a change waits that tells of vehicles alone, 10 s by default, and of their round trips alone, 1 minute: those of small
// cells are never the same for long.
const supplyIntervals, roundTripIntervals = 5, 30

// intervals is how long after the last write this one may come.
func intervals(before, after cellStatus) time.Duration {
	switch {
	case urgent(before, after):
		return 1
	case onlyRoundTrips(before, after):
		return roundTripIntervals
	default:
		return supplyIntervals
	}
}

// onlyRoundTrips says whether nothing differs but round trips that were known before.
func onlyRoundTrips(before, after cellStatus) bool {
	after.Supply = slices.Clone(after.Supply)
	for i := range min(len(before.Supply), len(after.Supply)) {
		if shown := before.Supply[i].RTTMillis; shown != (roundTrip{}) {
			after.Supply[i].RTTMillis = shown
		}
	}
	return sameStatus(before, after)
}

// urgent says whether a status differs in what is ready or why not, or in whether there is a vehicle at all.
func urgent(before, after cellStatus) bool {
	if before.ObservedGeneration != after.ObservedGeneration || len(before.Conditions) != len(after.Conditions) ||
		len(before.Assignments) != len(after.Assignments) || (len(before.Supply) == 0) != (len(after.Supply) == 0) {
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
	return false
}

// cellWriter writes the status of cells: only what differs from what the API server shows, and one cell at most once an
// interval, or once in supplyIntervals if vehicles alone differ.
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
		if now.Sub(w.written[name]) < intervals(before, status)*w.interval {
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
