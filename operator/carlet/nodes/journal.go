package nodes

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"parkade.dev/carlet/fleet"
)

// journalLines is how many recent events `kubectl logs` shows of one pod.
const journalLines = 256

// place names what a pod shows: a workload in a cell.
type place struct{ workload, cell string }

// journal keeps the recent events of every (workload, cell), and the phases it compares with.
type journal struct {
	mu     sync.Mutex
	lines  map[place][]entry
	phases map[fleet.Key]map[string]string // vehicle to workload to what was said last
	from   map[fleet.Key]said              // and from what
	number int                             // of the newest entry
}

// said is what the phases of a vehicle were read from.
type said struct {
	revision string
	standing fleet.Standing
	held     []fleet.HeldByVehicle
}

func (s said) same(other said) bool {
	return s.revision == other.revision && s.standing == other.standing && slices.Equal(s.held, other.held)
}

type entry struct {
	number  int // in the order of writing
	at      time.Time
	vehicle fleet.Key
	text    string
}

func newJournal() *journal {
	return &journal{lines: map[place][]entry{}, phases: map[fleet.Key]map[string]string{}, from: map[fleet.Key]said{}}
}

// record writes down what changed since the last decision.
func (j *journal) record(world fleet.World, decision fleet.Decision, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	ordered := map[place]bool{}
	for cell, facts := range decision.Cells {
		for _, fact := range facts.Assignments {
			ordered[place{fact.Workload, cell}] = true
		}
	}
	for p := range j.lines {
		if !ordered[p] {
			delete(j.lines, p)
		}
	}
	for i := range world.Vehicles {
		v := &world.Vehicles[i]
		told := decision.Vehicles[v.Key]
		from := said{told.Desired.Revision, told.Standing, v.State.Assignments}
		if before, known := j.from[v.Key]; known && before.same(from) {
			continue
		}
		j.from[v.Key] = from
		said := phasesOf(v, told)
		for workload, text := range said {
			if p := (place{workload, told.Cell}); ordered[p] && j.phases[v.Key][workload] != text {
				j.append(p, entry{0, now, v.Key, "vehicle " + alias(v.Key) + ": " + text})
			}
		}
		for workload := range j.phases[v.Key] {
			if p := (place{workload, told.Cell}); ordered[p] && said[workload] == "" {
				j.append(p, entry{0, now, v.Key, "vehicle " + alias(v.Key) + ": let go"})
			}
		}
		j.phases[v.Key] = said
	}
	j.forgetOthers(world.Vehicles)
}

// forgetOthers drops what was said of vehicles that nobody knows any more, their aliases included.
func (j *journal) forgetOthers(vehicles []fleet.Vehicle) {
	if len(j.phases) == len(vehicles) {
		return
	}
	known := make(map[fleet.Key]bool, len(vehicles))
	for i := range vehicles {
		known[vehicles[i].Key] = true
	}
	for key := range j.phases {
		if !known[key] {
			delete(j.phases, key)
			delete(j.from, key)
		}
	}
	for p, lines := range j.lines {
		j.lines[p] = slices.DeleteFunc(lines, func(e entry) bool { return !known[e.vehicle] })
	}
}

// phasesOf describes each workload that the vehicle holds or is given.
func phasesOf(v *fleet.Vehicle, told fleet.Told) map[string]string {
	said := map[string]string{}
	for _, assignment := range told.Desired.Assignments {
		said[assignment.Workload] = "told to hold " + short(assignment.Digest)
	}
	for _, held := range v.State.Assignments {
		text := string(held.Phase) + " " + short(held.Digest)
		if held.Reason != "" {
			text += " (" + held.Reason + ": " + held.Message + ")"
		}
		if told.Presence != fleet.Here {
			text += ", " + string(told.Presence) + ": " + words(told.Standing)
		}
		said[held.Workload] = text
	}
	return said
}

// words says of a vehicle that is not Here what its presence rests on.
func words(standing fleet.Standing) string {
	witness := "its charger"
	switch standing.By {
	case fleet.ByAnnouncement:
		return "it announced that it leaves"
	case fleet.ByRevocation:
		return "it was revoked"
	case fleet.ByNobody:
		return "nobody sees it"
	case fleet.ByMaker:
		witness = "its maker"
	}
	if standing.Presence == fleet.Gone {
		return witness + " saw it leave"
	}
	return witness + " sees it plugged in"
}

func (j *journal) append(p place, e entry) {
	j.number++
	e.number = j.number
	lines := append(j.lines[p], e)
	if len(lines) > journalLines {
		lines = lines[len(lines)-journalLines:]
	}
	j.lines[p] = lines
}

// text is the journal of one pod, oldest first, and the number of its last entry; tail < 0 is all of it.
func (j *journal) text(p place, tail int, since time.Time) (string, int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines[p]
	if len(lines) == 0 {
		return "no recent events of " + p.workload + " in cell " + p.cell + " since carlet started\n", j.number
	}
	if tail >= 0 && tail < len(lines) {
		lines = lines[len(lines)-tail:]
	}
	lines = slices.DeleteFunc(slices.Clone(lines), func(e entry) bool { return e.at.Before(since) })
	return written(lines), j.number
}

// after is what was written after an entry, and the number of the last.
func (j *journal) after(p place, number int) (string, int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	fresh := slices.DeleteFunc(slices.Clone(j.lines[p]), func(e entry) bool { return e.number <= number })
	return written(fresh), j.number
}

func written(lines []entry) string {
	var text strings.Builder
	for _, e := range lines {
		fmt.Fprintf(&text, "%s %s\n", e.at.UTC().Format(time.RFC3339), e.text)
	}
	return text.String()
}

// alias stands for a vehicle where people read: it cannot be turned back into its id.
func alias(key fleet.Key) string {
	sum := sha256.Sum256([]byte(key.String()))
	return hex.EncodeToString(sum[:4])
}

func short(digest string) string { return digest[:min(len(digest), 12)] }
