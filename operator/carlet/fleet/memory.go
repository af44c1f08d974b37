package fleet

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Decider decides as Decide does, and remembers: a cell in which nothing has changed that matters to its decision is
// told and shown the same again, which costs a comparison of its vehicles. It is not safe for concurrent use.
type Decider struct {
	cells     map[string]*settled
	residents []resident // room for those of one decision
}

// NewDecider remembers nothing yet.
func NewDecider() *Decider { return &Decider{cells: map[string]*settled{}} }

// Decide gives the answer of the function Decide.
func (m *Decider) Decide(world World) Decision {
	decision := decide(world, m)
	maps.DeleteFunc(m.cells, func(name string, _ *settled) bool {
		_, exists := decision.Cells[name]
		return !exists
	})
	return decision
}

// room for so many residents; those of the decision before are forgotten.
func (m *Decider) room(vehicles int) []resident {
	if m == nil {
		return make([]resident, 0, vehicles)
	}
	m.residents = slices.Grow(m.residents[:0], vehicles)
	return m.residents
}

// settled is what was decided for a cell, with all that it was decided from.
type settled struct {
	around   surroundings
	outcomes []outcome
	until    time.Time // when a refusal ends, which changes the decision; zero if none does
	facts    CellFacts
}

// outcome is what was decided for a vehicle, and from what.
type outcome struct {
	*Vehicle
	Standing
	given   []string
	desired *Desired
}

// surroundings are what the decision of a cell depends on beside its vehicles and the clock.
type surroundings struct {
	cell  Cell
	pool  Pool
	lines []orderSurroundings
}

type orderSurroundings struct {
	workload Workload
	known    bool
	owner    string
	staged   int64
}

func (d *decider) surroundings(cell Cell) surroundings {
	around := surroundings{cell: cell, pool: d.poolNamed(cell.Pool)}
	for _, order := range cell.Orders {
		workload, known := d.world.Workloads[order.Workload]
		owner, _ := Owner(order.Workload, d.world.Routers)
		around.lines = append(around.lines, orderSurroundings{workload, known, owner.Cars, d.world.Staged[order.Digest]})
	}
	return around
}

// settle decides about a cell, or repeats what was decided.
func (d *decider) settle(cell Cell, here []*resident) CellFacts {
	around := d.surroundings(cell)
	if d.memory != nil {
		if before := d.memory.cells[cell.Name]; before != nil && before.stands(around, here, d.world.Now) {
			return before.repeat(d, here)
		}
	}
	d.assign(cell, here)
	d.stage(cell, here)
	sets := map[string]*Desired{} // vehicles that are given the same are told the same
	for _, r := range here {
		given := strings.Join(r.given, "\n")
		for _, file := range r.staged {
			given += "\n\n" + file.Digest
		}
		desired, known := sets[given]
		if !known {
			set := d.desired(cell, r)
			desired = &set
			sets[given] = desired
		}
		r.desired = desired
	}
	facts := d.facts(cell, here)
	if d.memory != nil {
		kept := &settled{around: around, facts: facts, outcomes: make([]outcome, len(here))}
		for i, r := range here {
			kept.outcomes[i] = outcome{r.Vehicle, r.Standing, r.given, r.desired}
			kept.until = earliest(kept.until, r.Refusals, d.world.Now)
		}
		d.memory.cells[cell.Name] = kept
	}
	return facts
}

// earliest is the next time at which a refusal ends.
func earliest(until time.Time, refusals map[string]Refusal, now time.Time) time.Time {
	for _, refusal := range refusals {
		if refusal.Until.After(now) && (until.IsZero() || refusal.Until.Before(until)) {
			until = refusal.Until
		}
	}
	return until
}

// stands says whether the decision would come out as before; round trips and forecasts do not matter to it.
func (s *settled) stands(around surroundings, here []*resident, now time.Time) bool {
	if !s.until.IsZero() && !now.Before(s.until) || len(here) != len(s.outcomes) || !reflect.DeepEqual(around, s.around) {
		return false
	}
	for i, r := range here {
		before := &s.outcomes[i]
		if r.Standing != before.Standing || r.Vehicle != before.Vehicle && !decidesAlike(r.Vehicle, before.Vehicle) {
			return false
		}
	}
	return true
}

// repeat gives every vehicle what it was given, and counts round trips and forecasts anew if one changed.
func (s *settled) repeat(d *decider, here []*resident) CellFacts {
	moved := false
	for i, r := range here {
		before := &s.outcomes[i]
		r.given, r.desired = before.given, before.desired
		if r.Vehicle != before.Vehicle {
			moved = moved || r.State.RTTMillis != before.State.RTTMillis || !slices.Equal(r.State.LeavingWithin, before.State.LeavingWithin)
			before.Vehicle = r.Vehicle
		}
	}
	if moved {
		s.facts = d.facts(s.around.cell, here)
	}
	return s.facts
}

// decidesAlike says whether two vehicles are the same to a decision: all but when they were heard, which is in their
// presence, their round trip and their forecast.
func decidesAlike(a, b *Vehicle) bool {
	return a.Key == b.Key && a.HasHello == b.HasHello && a.HasState == b.HasState && a.Heard == b.Heard && a.Cell == b.Cell &&
		a.Revoked == b.Revoked && alikeHello(&a.Hello, &b.Hello) && alikeState(&a.State, &b.State) &&
		maps.Equal(a.Given, b.Given) && maps.Equal(a.Refusals, b.Refusals)
}

func alikeHello(a, b *Hello) bool {
	return a.V == b.V && a.Vehicle == b.Vehicle && a.Fleet == b.Fleet && a.Hardware == b.Hardware && a.Memory == b.Memory &&
		a.Slots == b.Slots && a.BeatSeconds == b.BeatSeconds && a.Cell == b.Cell && a.Desired == b.Desired &&
		slices.Equal(a.Models, b.Models)
}

func alikeState(a, b *State) bool {
	return a.V == b.V && a.Present == b.Present && a.Leaving == b.Leaving && a.Link == b.Link && a.State == b.State &&
		a.Eligible == b.Eligible && a.Reason == b.Reason && a.Message == b.Message && a.Desired == b.Desired &&
		slices.Equal(a.Assignments, b.Assignments)
}
