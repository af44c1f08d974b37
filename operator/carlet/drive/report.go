package drive

import (
	"encoding/json"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"parkade.dev/carlet/fleet"
)

// counts of what vehicles did since the start.
type counts struct {
	hellos, states, beats             atomic.Int64
	orders, outdated, garbage         atomic.Int64
	fetches, fetchedBytes, staged     atomic.Int64
	loads, reloads                    atomic.Int64
	unloadsByOrder, unloadsByContract atomic.Int64
	departures, outages, sightings    atomic.Int64
	losses, lostMillis                atomic.Int64
	cells                             sync.Map // name to *cellCounts
}

// cellCounts of one cell.
type cellCounts struct{ loads, unloadsByContract atomic.Int64 }

func (c *counts) cell(name string) *cellCounts {
	found, known := c.cells.Load(name)
	if !known {
		found, _ = c.cells.LoadOrStore(name, &cellCounts{})
	}
	return found.(*cellCounts) //nolint:forcetypeassert // nothing else is stored
}

func (c *counts) sent(kind fleet.Kind) {
	switch kind {
	case fleet.KindHello:
		c.hellos.Add(1)
	case fleet.KindState:
		c.states.Add(1)
	case fleet.KindBeat:
		c.beats.Add(1)
	}
}

// Report is what a driver prints.
type Report struct {
	Seconds   float64 `json:"seconds"` // since the start
	Vehicles  int     `json:"vehicles"`
	Connected int64   `json:"connected"`
	// Answered vehicles were told a desired set since their last hello, as carlet must after every one.
	Answered     int   `json:"answered"`
	Refused      int   `json:"refused"` // by their contract: plugged out, leaving, on a link that is not allowed
	Replicas     int   `json:"replicas"`
	Ready        int   `json:"ready"`
	Dials        int64 `json:"dials"`
	DialsFailed  int64 `json:"dialsFailed"`
	LinksLost    int64 `json:"linksLost"` // by the server or the network
	Resumed      int64 `json:"resumedHandshakes"`
	BytesUp      int64 `json:"bytesUp"`   // of TLS records and what was before TLS; TCP and IP headers are not in it
	BytesDown    int64 `json:"bytesDown"` // likewise
	WritesUp     int64 `json:"writesUp"`  // about as many segments
	ReadsDown    int64 `json:"readsDown"`
	Hellos       int64 `json:"hellos"`
	States       int64 `json:"states"`
	Beats        int64 `json:"beats"`
	Orders       int64 `json:"orders"`   // desired sets received
	Outdated     int64 `json:"outdated"` // of an older term, and ignored
	Garbage      int64 `json:"garbage"`
	Fetches      int64 `json:"fetches"`
	FetchedBytes int64 `json:"fetchedBytes"`
	Staged       int64 `json:"staged"` // files that came ahead of need, none of the fetches
	Loads        int64 `json:"loads"`
	Reloads      int64 `json:"reloads"` // of what the vehicle had loaded before
	// UnloadsByOrder are those that a desired set asked for; UnloadsByContract the car's own, as when it leaves.
	UnloadsByOrder    int64 `json:"unloadsByOrder"`
	UnloadsByContract int64 `json:"unloadsByContract"`
	Departures        int64 `json:"departures"`
	Outages           int64 `json:"outages"`
	// Losses are links taken from vehicles that stood there, by command or trace; LostSeconds how long these were to last.
	Losses      int64   `json:"losses"`
	LostSeconds float64 `json:"lostSeconds"`
	// Away vehicles have left, announced or not; Sightings are what their witnesses said.
	Away      int   `json:"away"`
	Sightings int64 `json:"sightings"`
	// LastConnected and LastOrder are seconds since the start.
	LastConnected float64 `json:"lastConnected"`
	LastOrder     float64 `json:"lastOrder"`
	// Cells counts the vehicles by the cell they were told.
	Cells map[string]int `json:"cells"`
	// CellLoads and CellUnloads are Loads and UnloadsByContract by cell.
	CellLoads   map[string]int `json:"cellLoads"`
	CellUnloads map[string]int `json:"cellUnloads"`
	MemoryBytes int64          `json:"memoryBytes"` // resident, of the whole driver
	LastFailure string         `json:"lastFailure,omitempty"`
}

// Report is how the vehicles stand.
func (d *Driver) Report() Report {
	c, t := &d.counts, &d.traffic
	report := Report{
		Seconds: d.now().Seconds(), Vehicles: len(d.vehicles), Connected: t.connected.Load(),
		Dials: t.dials.Load(), DialsFailed: t.refused.Load(), LinksLost: t.lost.Load(), Resumed: t.resumed.Load(),
		BytesUp: t.bytesUp.Load(), BytesDown: t.bytesDown.Load(), WritesUp: t.writesUp.Load(), ReadsDown: t.readsDown.Load(),
		Hellos: c.hellos.Load(), States: c.states.Load(), Beats: c.beats.Load(), Orders: c.orders.Load(),
		Outdated: c.outdated.Load(), Garbage: c.garbage.Load(),
		Fetches: c.fetches.Load(), FetchedBytes: c.fetchedBytes.Load(), Staged: c.staged.Load(), Loads: c.loads.Load(), Reloads: c.reloads.Load(),
		UnloadsByOrder: c.unloadsByOrder.Load(), UnloadsByContract: c.unloadsByContract.Load(),
		Departures: c.departures.Load(), Outages: c.outages.Load(), Sightings: c.sightings.Load(),
		Losses: c.losses.Load(), LostSeconds: float64(c.lostMillis.Load()) / 1e3,
		LastConnected: moment(d.lastConnected.Load()).Seconds(), LastOrder: moment(d.lastOrder.Load()).Seconds(),
		Cells: map[string]int{}, CellLoads: map[string]int{}, CellUnloads: map[string]int{}, MemoryBytes: residentBytes(),
	}
	c.cells.Range(func(name, counted any) bool {
		cell := counted.(*cellCounts) //nolint:forcetypeassert // nothing else is stored
		report.CellLoads[name.(string)] = int(cell.loads.Load())
		report.CellUnloads[name.(string)] = int(cell.unloadsByContract.Load())
		return true
	})
	if failure := d.failure.Load(); failure != nil {
		report.LastFailure = *failure
	}
	for _, v := range d.vehicles {
		v.mu.Lock()
		report.add(v)
		v.mu.Unlock()
	}
	return report
}

func (r *Report) add(v *vehicle) {
	if v.conn != nil && v.answered {
		r.Answered++
	}
	if v.desired.Cell != "" {
		r.Cells[v.desired.Cell]++
	}
	if v.vanished {
		r.Away++
	}
	if v.refusedAs() != "" {
		r.Refused++
	}
	r.Replicas += len(v.held)
	for i := range v.held {
		if v.held[i].Phase == fleet.PhaseReady {
			r.Ready++
		}
	}
}

// Write prints the report as one line of JSON.
func (d *Driver) Write(out io.Writer) error { return json.NewEncoder(out).Encode(d.Report()) }

// residentBytes of this process; 0 where the system does not say.
func residentBytes() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
