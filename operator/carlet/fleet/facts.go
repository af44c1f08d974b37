package fleet

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Reasons why an order of a cell is not met; they go verbatim into VehicleCell.status and pods.
const (
	ReasonReady           = "Ready"
	ReasonFetching        = "Fetching"
	ReasonLoading         = "Loading"
	ReasonAssigned        = "Assigned"
	ReasonSilent          = "Silent"
	ReasonNoVehicle       = "NoVehicle"
	ReasonRefused         = "Refused"
	ReasonFailed          = "Failed"
	ReasonNotStaged       = "NotStaged"
	ReasonUnknownWorkload = "UnknownWorkload"
)

func (d *decider) facts(cell Cell, residents []*resident) CellFacts {
	facts := CellFacts{Pool: cell.Pool, Standings: map[Standing]int{}}
	groups := map[[2]string]*alike{}
	for _, r := range residents {
		count(&facts.Counts, r)
		facts.Standings[r.Standing]++
		if !r.Eligible() || r.Presence == Gone || r.Presence == Silent && len(r.given) == 0 {
			continue
		}
		name := [2]string{r.State.Link, r.State.State}
		group := groups[name]
		if group == nil {
			group = &alike{}
			groups[name] = group
		}
		group.add(r)
	}
	for name, group := range groups {
		facts.Supply = append(facts.Supply, SupplyRow{
			Link: name[0], State: name[1], Vehicles: len(group.trips), Free: group.free,
			P50: percentile(group.trips, 50), P99: percentile(group.trips, 99),
			Leaving: mean(group.forecasts), Tellers: len(group.forecasts),
		})
	}
	slices.SortFunc(facts.Supply, func(a, b SupplyRow) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), cmp.Compare(a.State, b.State))
	})
	for _, order := range cell.Orders {
		facts.Assignments = append(facts.Assignments, d.assignmentFact(order, residents))
	}
	slices.SortFunc(facts.Assignments, func(a, b AssignmentFact) int { return cmp.Compare(a.Workload, b.Workload) })
	return facts
}

// alike are vehicles of one link and state; round trips are in milliseconds.
type alike struct {
	free      int
	trips     []float64
	forecasts []Leaving
}

func (g *alike) add(r *resident) {
	g.trips = append(g.trips, r.State.RTTMillis)
	if r.State.LeavingWithin != nil {
		g.forecasts = append(g.forecasts, r.State.LeavingWithin)
	}
	if r.Presence == Here && len(r.given) == 0 {
		g.free++
	}
}

func count(counts *Counts, r *resident) {
	counts.Registered++
	switch r.Presence {
	case Here:
		counts.Here++
	case Silent:
		counts.Silent++
	case Gone:
		counts.Gone++
	}
	if r.Presence != Here || !r.Eligible() {
		return
	}
	counts.Eligible++
	if slices.ContainsFunc(r.State.Assignments, func(held HeldByVehicle) bool { return held.Phase == PhaseReady }) {
		counts.Serving++
	}
}

// percentile by nearest rank; 0 for no values.
func percentile(values []float64, percent float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[max(int(math.Ceil(percent/100*float64(len(values)))), 1)-1]
}

// mean of forecasts: what share leaves, if each is right. Nil for none.
func mean(forecasts []Leaving) Leaving {
	if len(forecasts) == 0 {
		return nil
	}
	total := make(Leaving, Horizons)
	for _, forecast := range forecasts {
		for i, percent := range forecast {
			total[i] += percent / float64(len(forecasts))
		}
	}
	return total
}

// tally counts the holders of one order by how far they are.
type tally struct {
	given, ready, silent, loading, fetching int
	refusal                                 Refusal // of the last that refused
	refused                                 int
}

func (d *decider) assignmentFact(order Order, residents []*resident) AssignmentFact {
	fact := AssignmentFact{Workload: order.Workload, Desired: order.Replicas}
	var t tally
	for _, r := range residents {
		if refusal, ok := r.Refusals[order.Workload]; ok && refusal.Digest == order.Digest && refusal.Until.After(d.world.Now) {
			t.refused++
			t.refusal = refusal
		}
		if !slices.Contains(r.given, order.Workload) || r.Presence == Gone || !r.Eligible() {
			continue
		}
		fact.Serving = fact.Serving || r.Presence == Here && r.serves(order.Workload)
		t.add(r.Presence, r.phase(order.Workload, order.Digest))
	}
	fact.Ready = t.ready
	fact.Reason, fact.Message = d.explain(order, t)
	return fact
}

func (t *tally) add(presence Presence, phase Phase) {
	t.given++
	switch {
	case presence == Silent:
		t.silent++
	case phase == PhaseReady:
		t.ready++
	case phase == PhaseLoading:
		t.loading++
	case phase == PhaseFetching:
		t.fetching++
	}
}

// explain gives the Reason and the sentence of an order; the first cause that a person can mend comes first.
func (d *decider) explain(order Order, t tally) (string, string) {
	if _, known := d.world.Workloads[order.Workload]; !known {
		return ReasonUnknownWorkload, fmt.Sprintf("workload %s does not exist; the operator takes it out of the cell", order.Workload)
	}
	if t.ready >= order.Replicas {
		return ReasonReady, fmt.Sprintf("%d of %d replicas are ready", t.ready, order.Replicas)
	}
	missing := order.Replicas - t.given
	switch {
	case t.refused > 0 && missing > 0:
		reason := ReasonRefused
		if t.refusal.Phase == PhaseFailed {
			reason = ReasonFailed
		}
		return reason, fmt.Sprintf("%d vehicles would not take it, asked again later; one said %s: %s",
			t.refused, t.refusal.Reason, t.refusal.Message)
	case missing > 0:
		return ReasonNoVehicle, fmt.Sprintf("%d of %d replicas have no eligible vehicle here with enough memory", missing, order.Replicas)
	case t.fetching > 0 && d.world.Staged[order.Digest] == 0:
		return ReasonNotStaged, "the model is not in the store yet; vehicles fetch it as soon as it is"
	case t.loading > 0:
		return ReasonLoading, fmt.Sprintf("%d of %d replicas are ready, %d load", t.ready, order.Replicas, t.loading)
	case t.fetching > 0:
		return ReasonFetching, fmt.Sprintf("%d of %d replicas are ready, %d fetch the model", t.ready, order.Replicas, t.fetching)
	case t.silent > 0:
		return ReasonSilent, fmt.Sprintf("%d of %d replicas are ready, %d vehicles are silent", t.ready, order.Replicas, t.silent)
	}
	return ReasonAssigned, fmt.Sprintf("%d of %d replicas are ready, vehicles were told", t.ready, order.Replicas)
}
