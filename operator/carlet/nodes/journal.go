package nodes

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
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

// journal keeps the recent events of every (workload, cell), and the decision that it compares with.
type journal struct {
	mu     sync.Mutex
	lines  map[place][]entry
	told   []fleet.Told // before
	number int          // of the newest entry
}

type entry struct {
	number  int // in the order of writing
	at      time.Time
	vehicle fleet.Key
	text    string
}

func newJournal() *journal { return &journal{lines: map[place][]entry{}} }

// record writes down what changed since the last decision.
func (j *journal) record(decision fleet.Decision, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	ordered := map[place]bool{}
	for cell, facts := range decision.Cells {
		for _, fact := range facts.Assignments {
			ordered[place{fact.Workload, cell}] = true
		}
	}
	maps.DeleteFunc(j.lines, func(p place, _ []entry) bool { return !ordered[p] })
	before, forgotten := j.told, map[fleet.Key]bool{}
	for _, told := range decision.Vehicles {
		for len(before) > 0 && fleet.CompareKeys(before[0].Vehicle.Key, told.Vehicle.Key) < 0 {
			forgotten[before[0].Vehicle.Key] = true
			before = before[1:]
		}
		var last fleet.Told
		if len(before) > 0 && before[0].Vehicle.Key == told.Vehicle.Key {
			last, before = before[0], before[1:]
		}
		if !sameStory(last, told) {
			j.write(last, told, ordered, now)
		}
	}
	for _, gone := range before {
		forgotten[gone.Vehicle.Key] = true
	}
	j.told = decision.Vehicles
	j.forget(forgotten)
}

// forget drops what was said of vehicles that nobody knows any more, their aliases included.
func (j *journal) forget(vehicles map[fleet.Key]bool) {
	if len(vehicles) == 0 {
		return
	}
	for p, lines := range j.lines {
		j.lines[p] = slices.DeleteFunc(lines, func(e entry) bool { return vehicles[e.vehicle] })
	}
}

// sameStory says whether there is nothing new to write of a vehicle; it is quick where nothing changed at all.
func sameStory(last, told fleet.Told) bool {
	return last.Vehicle != nil && last.Standing == told.Standing && last.Cell == told.Cell && last.Revision() == told.Revision() &&
		(last.Vehicle == told.Vehicle || slices.Equal(last.Vehicle.State.Assignments, told.Vehicle.State.Assignments))
}

// write writes down how the phases of a vehicle differ from those before.
func (j *journal) write(last, told fleet.Told, ordered map[place]bool, now time.Time) {
	key, were, are := told.Vehicle.Key, phasesOf(last), phasesOf(told)
	add := func(workload, text string) {
		if p := (place{workload, told.Cell}); ordered[p] {
			j.append(p, entry{0, now, key, "vehicle " + alias(key) + ": " + text})
		}
	}
	for _, workload := range slices.Sorted(maps.Keys(are)) {
		if text := are[workload]; text != were[workload] {
			add(workload, text)
		}
	}
	for _, workload := range slices.Sorted(maps.Keys(were)) {
		if are[workload] == "" {
			add(workload, "let go")
		}
	}
}

// phasesOf describes each workload that the vehicle holds or is given.
func phasesOf(told fleet.Told) map[string]string {
	said := map[string]string{}
	if told.Vehicle == nil {
		return said
	}
	if told.Desired != nil {
		for _, assignment := range told.Desired.Assignments {
			said[assignment.Workload] = "told to hold " + short(assignment.Digest)
		}
	}
	for _, held := range told.Vehicle.State.Assignments {
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
