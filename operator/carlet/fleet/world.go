package fleet

import (
	"maps"
	"slices"
	"time"
)

// Pool is what carlet needs of a VehicleNodePool. Memory is in bytes; the terms are JSON with sorted keys.
type Pool struct {
	Name     string
	Region   string
	Fleet    string
	Hardware string
	Memory   int64
	KeepFor  time.Duration
	Terms
	Deleting bool
}

// Cell is what carlet needs of a VehicleCell.
type Cell struct {
	Name        string
	UID         string
	Pool        string
	Region      string
	MaxVehicles int
	Closing     bool // takes no vehicle any more
	Generation  int64
	Cordoned    bool // by the user of its node: it takes no further vehicles
	Orders      []Order
}

// Order is one line of VehicleCell.spec.assignments.
type Order struct {
	Workload string // namespace/name
	Digest   string
	Replicas int
	Priority int
}

// Workload is what carlet needs of an InferenceWorkload. Memory is in bytes of one replica.
type Workload struct {
	Name    string // namespace/name
	Model   string
	Memory  int64
	Formats map[string]string // by digest
}

// format of a digest. A cell may order a digest that the manifest has just replaced; its format hardly changed.
func (w Workload) format(digest string) string {
	if format := w.Formats[digest]; format != "" {
		return format
	}
	if formats := slices.Sorted(maps.Values(w.Formats)); len(formats) > 0 {
		return formats[0]
	}
	return "onnx"
}

// Refusal is a car's answer that it will not, or cannot, hold a workload.
type Refusal struct {
	Digest  string
	Phase   Phase // Refused or Failed
	Reason  string
	Message string
	Until   time.Time // not asked again before
	Times   int
}

// Vehicle is everything carlet remembers of one vehicle.
type Vehicle struct {
	Key       Key
	Hello     Hello
	HasHello  bool
	State     State
	HasState  bool
	LastHeard time.Time
	Heard     bool              // in this life of carlet
	Cell      string            // decided last
	Given     map[string]string // workload to digest, decided last
	Refusals  map[string]Refusal
	Revoked   bool    // its credentials are
	Others    *Others // what witnesses saw; nil if there are none
}

// Testimony is what the presence of the vehicle is decided from.
func (v *Vehicle) Testimony() Testimony {
	return Testimony{
		LastHeard: v.LastHeard,
		Beat:      BeatInterval(v.Hello.BeatSeconds),
		Left:      v.HasState && (v.State.Leaving || !v.State.Present),
		Revoked:   v.Revoked,
		Others:    v.Others,
	}
}

// Eligible is the car's own word that its owner's contract lets it work now.
func (v *Vehicle) Eligible() bool {
	return !v.Revoked && v.HasState && v.State.Eligible && v.State.Present && !v.State.Leaving
}

// World is everything one decision depends on.
type World struct {
	Now       time.Time
	Pools     []Pool
	Cells     []Cell
	Workloads map[string]Workload
	Routers   []Router
	Staged    map[string]int64 // bytes of each digest in the model store
	Vehicles  []*Vehicle       // none of them is changed any more
	Malformed []Key            // vehicles of which a message was malformed lately
	Share     *Share           // what this carlet serves of it; nil is all
	// StagePercent is the share of each order's replicas that further vehicles keep the file of ready.
	StagePercent int
}

// Decision is the answer: what each vehicle is told and what each cell shows, of the cells that are served.
type Decision struct {
	Vehicles []Told // by key
	Cells    map[string]CellFacts
	Presence map[PoolPresence]int
}

// Told is what is decided for a vehicle; the zero value for one that was not there.
func (d *Decision) Told(key Key) Told {
	i, known := slices.BinarySearchFunc(d.Vehicles, key, func(told Told, key Key) int { return CompareKeys(told.Vehicle.Key, key) })
	if !known {
		return Told{}
	}
	return d.Vehicles[i]
}

// Told is what is decided for one vehicle; the URLs of its assignments are added when it is sent. A foreign one is told
// nothing: another carlet orders it.
type Told struct {
	Vehicle *Vehicle
	Pool    string
	Cell    string
	Standing
	Desired *Desired // nil for a foreign one
	Foreign bool
}

// Revision of what the vehicle is told; empty if it is told nothing.
func (t *Told) Revision() string {
	if t.Desired == nil {
		return ""
	}
	return t.Desired.Revision
}

// PoolPresence counts vehicles for the metrics; the pool is empty for vehicles that no pool wants.
type PoolPresence struct {
	Pool string
	Standing
}

// Counts of the vehicles of a cell. Eligible and Serving are Here as well.
type Counts struct {
	Registered, Here, Silent, Gone, Eligible, Serving, Waiting int
}

// SupplyRow is the vehicles of a cell that are alike in link and state. Round trips are in milliseconds. Leaving is the
// share that leaves, the mean of the forecasts of the Tellers, which have one; nil if none has.
type SupplyRow struct {
	Link, State    string
	Vehicles, Free int
	P50, P99       float64
	Leaving        Leaving
	Tellers        int
}

// AssignmentFact is how one order of a cell stands. Serving says that a vehicle answers, if with an older digest.
type AssignmentFact struct {
	Workload       string
	Desired, Ready int
	Serving        bool
	Reason         string
	Message        string
}

// CellFacts is what a cell shows in its status, its node and its pods. Malformed counts vehicles whose messages could not
// be read lately; one that was never understood counts in the first cell of its fleet.
type CellFacts struct {
	Pool        string
	Counts      Counts
	Standings   map[Standing]int
	Malformed   int
	Supply      []SupplyRow
	Assignments []AssignmentFact
}
