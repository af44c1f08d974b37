package drive

import (
	"encoding/json"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"time"

	"parkade.dev/carlet/fleet"
)

// The agent's own rhythm; operator/parkade/vehicle/link.py.
const (
	pingEvery  = 10 * time.Minute
	beatJitter = 0.1
	coalesce   = 20 * time.Millisecond
	rttStep    = 0.25
	rttLeast   = 2 * time.Millisecond
	rttWeight  = 8 // TCP's (RFC 6298)
)

// vehicle is one car of the fleet. All that can wait for a moment is a moment here, so that no vehicle needs a goroutine
// or a timer but the one that reads its connection.
type vehicle struct {
	driver  *Driver
	number  int
	key     fleet.Key
	pass    *pass // of the one that dials
	address string
	link    string
	session session
	stays   []stay
	offset  time.Duration // where in the link's trace the vehicle begins

	slot int    // of the agenda
	due  moment // of the agenda

	mu        sync.Mutex
	conn      *connection
	dialAt    moment
	beatAt    moment
	pongBy    moment
	pingAt    moment
	sayAt     moment
	saidAt    moment
	cutAt     moment        // the next outage of the link's trace
	cutFor    time.Duration // how long it is
	stayAt    moment        // the next change of the charging trace
	plans     []plan
	wait      time.Duration // bound of the next pause between dials
	fetchWait time.Duration // the same between downloads
	fetchAt   moment        // no download begins before
	pingSent  moment
	rtt       time.Duration // as last said
	smooth    time.Duration
	sequence  int64
	desired   fleet.Desired
	held      []replica
	models    []string
	once      []string // workload and digest of what was loaded once
	saidHello uint64
	saidState uint64
	began     bool // the first round trip of the connection is done
	greet     bool
	answered  bool
	fetching  bool
	dialling  bool
	vanished  bool
	leaving   bool
	unplugged bool
	charging  bool
	lostUntil moment
	losses    uint32
	sighted   sighted
	outlook   outlook
	ahead     ahead
}

// plan is something that happens to a vehicle later.
type plan struct {
	at moment
	do func(*vehicle, moment)
}

// act does everything that is due, and says when to be woken next.
func (v *vehicle) act() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.step(v.driver.now())
}

// step is called with the lock held, after anything has changed.
func (v *vehicle) step(now moment) {
	for i := 0; i < len(v.plans); i++ {
		if p := v.plans[i]; p.at <= now {
			v.plans = append(v.plans[:i], v.plans[i+1:]...)
			p.do(v, now)
			i = -1
		}
	}
	if v.stayAt <= now {
		v.followStays(now)
	}
	if v.outlook.at <= now {
		v.foresee(now)
	}
	if v.cutAt <= now {
		v.followTrace(now)
	}
	if v.nextPhase() <= now {
		v.proceed(now)
		v.apply(now)
		v.news(now)
	}
	if v.watched(now) {
		v.look(now)
	}
	if v.dialAt <= now && v.conn == nil && !v.dialling && !v.vanished {
		v.dialAt, v.dialling = never, true
		v.driver.dialing <- v
	}
	if v.conn != nil {
		v.speak(now)
	}
	v.driver.agendaOf(v).set(v, v.next())
}

func (v *vehicle) next() moment {
	soonest := min(v.stayAt, v.cutAt, v.sighted.at, v.outlook.at, v.nextPhase())
	switch {
	case v.conn != nil:
		soonest = min(soonest, v.beatAt, v.pongBy, v.pingAt, v.sayAt)
	case !v.dialling && !v.vanished:
		soonest = min(soonest, v.dialAt)
	}
	for _, p := range v.plans {
		soonest = min(soonest, p.at)
	}
	return soonest
}

func (v *vehicle) nextPhase() moment {
	soonest := v.ahead.until
	for i := range v.held {
		soonest = min(soonest, v.held[i].until)
	}
	return soonest
}

// speak sends what is due on the connection.
func (v *vehicle) speak(now moment) {
	if v.pongBy <= now {
		v.hangUp(now)
		return
	}
	var out []byte
	if v.sayAt <= now {
		v.sayAt, v.saidAt = never, now
		out = v.sayChanges(out)
	}
	if v.beatAt <= now {
		v.sequence++
		out = v.say(out, fleet.KindBeat, fleet.Beat{V: fleet.Version, Seq: v.sequence, BeatSeconds: v.driver.options.Beat.Seconds()})
		out = append(out, "PING\r\n"...)
		v.beatAt, v.pingSent, v.pongBy = now+v.jittered(), now, now+patience
	}
	if v.pingAt <= now {
		out = append(out, "PING\r\n"...)
		v.pingAt = now + pingEvery
		if v.pongBy == never {
			v.pingSent, v.pongBy = now, now+pingEvery
		}
	}
	if len(out) > 0 && v.conn.send(out) != nil {
		v.hangUp(now)
	}
}

func (v *vehicle) jittered() time.Duration {
	return time.Duration(float64(v.driver.options.Beat) * (1 - beatJitter + 2*beatJitter*rand.Float64()))
}

// news says hello or state again where their content changed, after what else changes now.
func (v *vehicle) news(now moment) {
	if v.conn != nil && v.began {
		v.sayAt = min(v.sayAt, max(now, v.saidAt+coalesce))
	}
}

var seed = maphash.MakeSeed()

// sayChanges is hello first: it is what makes carlet listen to a state. What the car is told back is no news to who told it.
func (v *vehicle) sayChanges(out []byte) []byte {
	models := v.models
	if models == nil {
		models = []string{}
	}
	o := &v.driver.options
	hello := fleet.Hello{
		V: fleet.Version, Vehicle: v.key.Vehicle, Fleet: v.key.Fleet, Hardware: o.Hardware, Memory: o.Memory, Slots: o.Slots,
		BeatSeconds: o.Beat.Seconds(), Cell: v.desired.Cell, Models: models,
	}
	if mark := hashed(hello); v.greet || mark != v.saidHello {
		v.greet, v.saidHello = false, mark
		hello.Desired = v.desired.Revision
		v.answered = false
		out = v.say(out, fleet.KindHello, hello)
	}
	state := v.state()
	if mark := hashed(state); mark != v.saidState {
		v.saidState = mark
		out = v.say(out, fleet.KindState, state)
	}
	return out
}

func (v *vehicle) state() fleet.State {
	reason, message := v.refusal()
	activity := "Asleep"
	if v.charging {
		activity = "Charging"
	}
	var forecast fleet.Leaving
	if reason == "" {
		forecast = v.outlook.leaving()
	}
	return fleet.State{
		V: fleet.Version, Present: true, Leaving: v.leaving, Link: v.link, State: activity,
		Eligible: reason == "", Reason: reason, Message: message, RTTMillis: float64(v.rtt.Milliseconds()),
		Desired: v.desired.Revision, Assignments: v.rows(), LeavingWithin: forecast,
	}
}

func hashed(message any) uint64 {
	text, err := json.Marshal(message)
	if err != nil { // strings, numbers and lists of them always marshal
		panic(err)
	}
	return maphash.Bytes(seed, text)
}

func (v *vehicle) say(out []byte, kind fleet.Kind, message any) []byte {
	text, err := json.Marshal(message)
	if err != nil {
		panic(err)
	}
	v.driver.counts.sent(kind)
	return publish(out, fleet.Subject(v.key, kind), text)
}

// dialled takes a new connection, or waits longer for the next.
func (v *vehicle) dialled(conn *connection, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.driver.now()
	v.dialling = false
	switch {
	case err != nil:
		v.driver.failed(err)
		v.redial(now, patienceFor(err))
	case v.vanished || v.lostUntil > now: // lost meanwhile
		conn.drop()
		v.dialAt = v.lostUntil
	default:
		v.connected(conn, now)
	}
	v.step(now)
}

func (v *vehicle) connected(conn *connection, now moment) {
	v.driver.traffic.connected.Add(1)
	if conn.resumed {
		v.driver.traffic.resumed.Add(1)
	}
	v.driver.lastConnected.Store(int64(now))
	v.conn, v.dialAt, v.wait, v.began, v.answered = conn, never, 0, false, false
	v.saidHello, v.saidState = 0, 0
	v.beatAt, v.pingAt = now+v.jittered(), now+pingEvery
	v.pingSent, v.pongBy = now, now+patience
	if conn.send([]byte("PING\r\n")) != nil {
		v.hangUp(now)
		return
	}
	go v.listen(conn)
}

// redial waits as the agent does.
func (v *vehicle) redial(now moment, longest time.Duration) {
	wait, next := pause(v.wait, longest)
	v.dialAt, v.wait = max(now, v.lostUntil)+wait, next
}

// hangUp ends the connection and dials again.
func (v *vehicle) hangUp(now moment) {
	if v.conn == nil {
		return
	}
	v.conn.drop()
	v.conn = nil
	v.driver.traffic.connected.Add(-1)
	v.beatAt, v.pongBy, v.pingAt, v.sayAt = never, never, never, never
	v.redial(now, longestWait)
}

// listen reads a connection until it ends.
func (v *vehicle) listen(conn *connection) {
	for {
		message, pong, err := conn.next()
		v.mu.Lock()
		if v.conn != conn {
			v.mu.Unlock()
			return
		}
		now := v.driver.now()
		switch {
		case err != nil:
			v.driver.traffic.lost.Add(1)
			v.hangUp(now)
		case pong:
			v.measured(now)
		default:
			v.receive(message, now)
		}
		v.step(now)
		v.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// measured takes a round trip; what the link's trace adds counts as if it had been on the way.
func (v *vehicle) measured(now moment) {
	v.pongBy = never
	rtt := now - v.pingSent
	if trace := v.driver.traces.links[v.link]; trace != nil {
		rtt += trace.rttAt(v.offset + now)
	}
	if v.smooth == 0 {
		v.smooth = rtt
	}
	v.smooth += (rtt - v.smooth) / rttWeight
	changed := max(v.smooth-v.rtt, v.rtt-v.smooth) > max(rttLeast, time.Duration(rttStep*float64(v.rtt)))
	if changed {
		v.rtt = v.smooth
	}
	if changed || !v.began {
		v.began = true
		v.news(now)
	}
}

// receive takes a desired set; the newest supersedes, garbage and orders of an older term change nothing.
func (v *vehicle) receive(message []byte, now moment) {
	var desired fleet.Desired
	if err := json.Unmarshal(message, &desired); err != nil || desired.V != fleet.Version {
		v.driver.counts.garbage.Add(1)
		return
	}
	if desired.Term > 0 && desired.Term < v.desired.Term { // of a carlet that gave the cell away
		v.driver.counts.outdated.Add(1)
		return
	}
	v.driver.counts.orders.Add(1)
	v.driver.lastOrder.Store(int64(now))
	v.answered = true
	v.driver.shrink(&desired)
	v.desired = desired
	v.apply(now)
	v.forgetURLs()
	v.news(now)
}
