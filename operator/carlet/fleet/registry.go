package fleet

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// MaxVehicles bounds what one carlet remembers; signed credentials are the first bound, this is the last.
const MaxVehicles = 200_000

// How long a vehicle that refused a workload is not asked again: doubling, within these.
const (
	firstRefusal = time.Minute
	longRefusal  = 30 * time.Minute
)

// MalformedMemory is how long after its last malformed message a vehicle counts as one that is not understood.
const MalformedMemory = 5 * time.Minute

// Registry remembers what vehicles said. It is safe for concurrent use.
type Registry struct {
	mu        sync.Mutex
	vehicles  map[Key]*record
	sorted    []*record         // by key; nil if a vehicle came since
	snapshots int               // that were handed out
	malformed map[Key]time.Time // when a message of the vehicle was malformed last
	revoked   map[Key]bool
	changes   map[PoolPresence]int
}

// record is a vehicle with the bookkeeping that decisions do not see.
type record struct {
	*Vehicle           // not changed once it is in a snapshot: see private
	copied   int       // snapshots there were when the Vehicle was made
	decided  string    // revision decided last; what was given is known from it
	sent     string    // revision sent last, or reported by the vehicle
	sentAt   time.Time // when URLs were signed last
	repeats  int       // of the revision sent last
	greeted  bool      // the last hello was answered
	shown    Presence  // decided last
	foreign  bool      // another carlet orders it
}

// Heard is what a message meant.
type Heard struct {
	Key     Key
	Kind    Kind
	Outcome Outcome
	// Changed says that decisions may come out differently.
	Changed bool
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	return &Registry{vehicles: map[Key]*record{}, malformed: map[Key]time.Time{}, revoked: map[Key]bool{}, changes: map[PoolPresence]int{}}
}

// Hear takes in one message. A replayed one was said at the given time to an earlier carlet.
func (r *Registry) Hear(subject string, data []byte, at time.Time, replayed bool) Heard {
	key, kind, err := ParseSubject(subject)
	if err != nil {
		return Heard{Kind: "unknown", Outcome: UnknownSubject}
	}
	heard := Heard{Key: key, Kind: kind}
	said := read(key, kind, data) // before the lock, so that no beat waits for the text of others
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.revoked[key] {
		heard.Outcome = FromRevoked
		return heard
	}
	v := r.vehicles[key]
	if v == nil {
		if len(r.vehicles) >= MaxVehicles {
			heard.Outcome = OverCapacity
			return heard
		}
		v = &record{Vehicle: &Vehicle{Key: key, Given: map[string]string{}, Refusals: map[string]Refusal{}}, copied: r.snapshots}
	}
	heard.Outcome = said.outcome
	if heard.Outcome != Accepted {
		if heard.Outcome == UnknownSubject {
			heard.Kind = "unknown"
		}
		heard.Changed = r.misunderstood(key, heard.Outcome, at)
		return heard
	}
	r.private(v)
	switch kind {
	case KindHello:
		heard.Changed = v.hello(said.hello, replayed)
	case KindState:
		heard.Changed = v.state(said.state, at, replayed)
	case KindBeat:
		heard.Changed = v.beat(said.beat, at)
	}
	if _, known := r.vehicles[key]; !known && (kind != KindBeat || v.HasHello) {
		r.vehicles[key], r.sorted = v, nil
	}
	if at.After(v.LastHeard) {
		v.LastHeard = at
	}
	v.Heard = v.Heard || !replayed
	return heard
}

// said is a message that was read.
type said struct {
	outcome Outcome
	hello   Hello
	state   State
	beat    Beat
}

func read(key Key, kind Kind, data []byte) said {
	s := said{outcome: UnknownSubject}
	switch kind {
	case KindHello:
		s.hello, s.outcome = ReadHello(key, data)
	case KindState:
		s.state, s.outcome = ReadState(data)
	case KindBeat:
		s.beat, s.outcome = ReadBeat(data)
	}
	return s
}

// misunderstood remembers a malformed message; it says whether that is news.
func (r *Registry) misunderstood(key Key, outcome Outcome, at time.Time) bool {
	last, known := r.malformed[key]
	if !outcome.malformed() || !known && len(r.malformed) >= MaxVehicles {
		return false
	}
	if at.After(last) {
		r.malformed[key] = at
	}
	return !known
}

// Malformed names the vehicles of which a message was malformed after an instant, and forgets the others.
func (r *Registry) Malformed(after time.Time) []Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.malformed, func(_ Key, last time.Time) bool { return !last.After(after) })
	return slices.SortedFunc(maps.Keys(r.malformed), CompareKeys)
}

func (v *record) hello(hello Hello, replayed bool) (changed bool) {
	v.Hello, v.HasHello = hello, true
	v.greeted = replayed
	if !replayed {
		v.sent = "" // every hello is answered by the full desired set
	}
	return true
}

func (v *record) state(state State, at time.Time, replayed bool) (changed bool) {
	news := !v.HasState || !alikeState(&v.State, &state)
	v.State, v.HasState = state, true
	if replayed || v.foreign {
		v.adopt()
	}
	for _, held := range state.Assignments {
		// What a car refuses while its owner's contract rests it, it refuses as a whole: that says nothing of the workload.
		if state.Eligible && (held.Phase == PhaseRefused || held.Phase == PhaseFailed) {
			v.refuse(held, at)
		}
	}
	return news // a round trip waits for the next look at the fleet
}

// adopt takes what the vehicle holds for given: a carlet that begins to order it takes nothing away.
func (v *record) adopt() {
	v.sent, v.decided = v.State.Desired, ""
	v.Given = map[string]string{} // a snapshot may have the old one
	for _, held := range v.State.Assignments {
		switch held.Phase {
		case PhaseReady, PhaseLoading, PhaseFetching:
			v.Given[held.Workload] = held.Digest
		}
	}
}

func (v *record) refuse(held HeldByVehicle, at time.Time) {
	before := v.Refusals[held.Workload]
	if before.Digest == held.Digest && before.Until.After(at) {
		return
	}
	times := 0
	if before.Digest == held.Digest {
		times = before.Times
	}
	v.Refusals = maps.Clone(v.Refusals) // a snapshot may have the old ones
	wait := min(firstRefusal<<min(times, 10), longRefusal)
	v.Refusals[held.Workload] = Refusal{
		Digest: held.Digest, Phase: held.Phase, Reason: held.Reason, Message: held.Message,
		Until: at.Add(wait), Times: times + 1,
	}
}

func (v *record) beat(beat Beat, at time.Time) (changed bool) {
	wasHere := v.Heard && PresenceAt(at, v.Testimony(), 0) == Here
	if beat.BeatSeconds > 0 {
		v.Hello.BeatSeconds = beat.BeatSeconds
	}
	return !wasHere
}

// Adopt ends the replay: nobody listened while carlet was away, so vehicles count as heard now, except those that have
// not said anything for longer than credentials live.
func (r *Registry) Adopt(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range r.vehicles {
		if !v.Heard && now.Sub(v.LastHeard) < forgottenAfter {
			r.private(v)
			v.LastHeard = now
		}
	}
}

// Resume ends an outage of carlet's own link: it ages nobody.
func (r *Registry) Resume(from, to time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range r.vehicles {
		r.private(v)
		v.LastHeard, v.Others = Resume(v.Testimony(), from, to)
	}
}

// Revoke ends a vehicle's right to be believed: it is Gone, and what still comes in its name is not heard.
func (r *Registry) Revoke(key Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revoked[key] = true
	if v := r.vehicles[key]; v != nil {
		r.private(v)
		v.Revoked = true
	}
}

// Readmit takes a revocation back.
func (r *Registry) Readmit(key Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.revoked, key)
	if v := r.vehicles[key]; v != nil {
		r.private(v)
		v.Revoked = false
	}
}

// Forget drops everything about a vehicle.
func (r *Registry) Forget(key Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.vehicles, key)
	delete(r.malformed, key)
	delete(r.revoked, key)
}

// private makes a vehicle that is in a snapshot one that may be changed.
func (r *Registry) private(v *record) {
	if v.copied != r.snapshots {
		vehicle := *v.Vehicle
		v.Vehicle, v.copied = &vehicle, r.snapshots
	}
}

// Vehicles is a snapshot for one decision, ordered by key. Nothing in it changes: what is said later makes another Vehicle,
// so that equal pointers of two snapshots say that nothing was.
func (r *Registry) Vehicles() []*Vehicle {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.snapshots++
	vehicles := make([]*Vehicle, len(r.vehicles))
	for i, v := range r.ordered() {
		vehicles[i] = v.Vehicle
	}
	return vehicles
}

func (r *Registry) ordered() []*record {
	if len(r.sorted) != len(r.vehicles) {
		r.sorted = slices.SortedFunc(maps.Values(r.vehicles), func(a, b *record) int { return CompareKeys(a.Key, b.Key) })
	}
	return r.sorted
}

// Commit records a decision and returns the vehicles that must be told: those whose order changed, those
// whose hello is not answered yet, those still fetching with URLs older than resign, and those whose order must have been lost on
// the way, as their states name another one. No more than most are told now; the
// others wait for the next decision, and only what is newest then is told. Who holds something else than what is
// decided comes first, and who merely wants to hear that nothing changed comes last.
func (r *Registry) Commit(decision Decision, now time.Time, resign time.Duration, most int) (tell []Told, waiting int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var news, confirmations []int // in decision.Vehicles
	rest := r.ordered()
	for i, told := range decision.Vehicles {
		for len(rest) > 0 && CompareKeys(rest[0].Key, told.Vehicle.Key) < 0 {
			rest = rest[1:]
		}
		if len(rest) == 0 || rest[0].Key != told.Vehicle.Key { // forgotten meanwhile
			continue
		}
		v := rest[0]
		if told.Foreign {
			r.leave(v)
			continue
		}
		r.commit(v, told)
		stale := now.Sub(v.sentAt) > resign && told.Presence == Here && v.fetches(told.Desired)
		switch {
		case v.greeted && v.sent == told.Desired.Revision && !stale && !v.missed(told, now):
		case v.greeted || v.Hello.Desired != told.Desired.Revision:
			news = append(news, i)
		default:
			confirmations = append(confirmations, i)
		}
	}
	due := append(news, confirmations...)
	waiting = max(0, len(due)-most)
	for _, i := range due[:len(due)-waiting] {
		told := decision.Vehicles[i]
		v := r.vehicles[told.Vehicle.Key]
		if v.repeats++; v.sent != told.Desired.Revision {
			v.repeats = 0
		}
		v.sent, v.sentAt, v.greeted = told.Desired.Revision, now, true
		tell = append(tell, told)
	}
	return tell, waiting
}

// commit records what is decided for a vehicle.
func (r *Registry) commit(v *record, told Told) {
	if v.foreign { // told even what it knows, so that it heeds nobody's older orders
		v.foreign, v.sent = false, ""
	}
	if v.Cell != told.Cell {
		r.private(v)
		v.Cell = told.Cell
	}
	if v.shown != told.Presence && v.shown != "" {
		r.changes[PoolPresence{told.Pool, told.Standing}]++
	}
	v.shown = told.Presence
	if v.decided != told.Desired.Revision {
		r.private(v)
		v.decided, v.Given = told.Desired.Revision, make(map[string]string, len(told.Desired.Assignments))
		for _, assignment := range told.Desired.Assignments {
			v.Given[assignment.Workload] = assignment.Digest
		}
	}
}

// answerWithin is the time in which a vehicle names the order it was sent in its state. It doubles with each repetition, for a vehicle
// that never does, up to answerLast times.
const (
	answerWithin = 15 * time.Second
	answerLast   = 7
)

// missed says whether a vehicle that is here does not know what it was told.
func (v *record) missed(told Told, now time.Time) bool {
	return told.Presence == Here && v.HasState && v.State.Desired != v.sent && now.Sub(v.sentAt) > answerWithin<<min(v.repeats, answerLast)
}

// Changes counts the vehicles that came to another presence since they were counted last, by what they came to.
func (r *Registry) Changes() map[PoolPresence]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	counted := r.changes
	r.changes = map[PoolPresence]int{}
	return counted
}

// Untold takes back that a vehicle was told: the order was not sent.
func (r *Registry) Untold(key Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v := r.vehicles[key]; v != nil {
		v.sent = ""
	}
}

// leave takes the vehicle for another carlet's: what it says is all that is known of its orders.
func (r *Registry) leave(v *record) {
	if v.Cell != "" {
		r.private(v)
		v.Cell = ""
	}
	if !v.foreign {
		r.private(v)
		v.foreign, v.shown = true, ""
		if v.HasState {
			v.adopt()
		}
	}
}

// fetches says whether the vehicle still has a file to download.
func (v *record) fetches(desired *Desired) bool {
	for _, assignment := range desired.Assignments {
		if !slices.Contains(v.Hello.Models, assignment.Digest) && !(&resident{Vehicle: v.Vehicle}).serves(assignment.Workload) {
			return true
		}
	}
	return slices.ContainsFunc(desired.Stage, func(file Staged) bool { return !slices.Contains(v.Hello.Models, file.Digest) })
}
