package drive

import (
	"math/rand/v2"
	"slices"
	"time"
)

// vanish takes the vehicle away without a word.
func (v *vehicle) vanish(now moment) {
	v.hangUp(now)
	v.vanished, v.dialAt = true, never
}

// lose takes the link for a while. Then the vehicle dials at once, spread over a jitter, or as patiently as the agent if
// the jitter is negative.
func (v *vehicle) lose(now moment, length, jitter time.Duration) {
	v.hangUp(now)
	if !v.vanished {
		v.losses++
		v.driver.counts.losses.Add(1)
		v.driver.counts.lostMillis.Add(length.Milliseconds())
	}
	v.lostUntil = now + length
	switch {
	case jitter < 0: // the agent has tried all the while
		v.wait = length
		v.redial(now, longestWait)
	case jitter == 0:
		v.dialAt = v.lostUntil
	default:
		v.dialAt = v.lostUntil + rand.N(jitter)
	}
}

// outageLike is the length of an outage of the link's trace, or of the cellular one for links without a trace: of a vehicle
// always the same ones in the same order.
func (v *vehicle) outageLike() time.Duration {
	trace := v.driver.traces.links[v.link]
	if trace == nil || len(trace.outages) == 0 {
		trace = v.driver.traces.links["Cellular"]
	}
	return trace.outages[spread(v.number, firstLossUse+int(v.losses))%uint64(len(trace.outages))].length
}

// firstLossUse is what vehicles' numbers are spread for from there on.
const firstLossUse = 1000

// depart announces the departure; after a while the car drives off and its link with it.
func (v *vehicle) depart(now moment, staying time.Duration) {
	v.leaving, v.unplugged, v.charging = true, true, false
	v.driver.counts.departures.Add(1)
	v.plans = append(v.plans, plan{now + staying, func(v *vehicle, at moment) {
		if v.leaving {
			v.vanish(at)
		}
	}})
	v.apply(now)
	v.news(now)
}

// arrive is the car back at its plug, wherever it was.
func (v *vehicle) arrive(now moment) {
	v.leaving, v.unplugged = false, false
	if v.vanished {
		v.vanished, v.dialAt = false, now
	}
	v.newStay(now)
	v.apply(now)
	v.news(now)
}

// followTrace takes the link away as its trace did, and looks for the next time.
func (v *vehicle) followTrace(now moment) {
	switch length := v.cutFor; {
	case length >= patience:
		v.driver.counts.outages.Add(1)
		v.lose(now, length, -1)
	case length > 0: // over before anybody noticed: what was due is late
		v.beatAt, v.sayAt = late(v.beatAt, now+length), late(v.sayAt, now+length)
	}
	next, wait, ok := v.driver.traces.links[v.link].next(v.offset + now)
	if !ok {
		v.cutAt = never
		return
	}
	v.cutAt, v.cutFor = now+wait, time.Duration(float64(next.length)*v.driver.options.Stretch)
}

func late(due, earliest moment) moment {
	if due == never {
		return never
	}
	return max(due, earliest)
}

// followStays plugs the car in and out as its charging sessions say, in the driver's compressed week.
func (v *vehicle) followStays(now moment) {
	first := v.stayAt == 0
	plugged, charging, until := standing(v.stays, v.inWeek(now))
	v.stayAt = now + max(time.Duration(float64(until)/v.driver.options.Speed), time.Millisecond)
	away := v.leaving || v.vanished || v.unplugged
	switch {
	case plugged:
		changed := v.charging != charging
		v.charging = charging
		switch {
		case away:
			v.arrive(now)
		case first:
			v.newStay(now)
		}
		if changed {
			v.news(now)
		}
	case first:
		v.unplugged, v.vanished, v.dialAt = true, true, never
	case !away:
		v.depart(now, v.driver.options.Staying)
	}
}

// inWeek is where in the driver's compressed week a moment is.
func (v *vehicle) inWeek(now moment) time.Duration {
	return (v.driver.options.WeekStart + time.Duration(float64(now)*v.driver.options.Speed)) % week
}

// standing says how a car is at a time of the week, and for how long.
func standing(stays []stay, place time.Duration) (plugged, charging bool, until time.Duration) {
	until = week
	for _, s := range stays {
		since := (place - s.arrival + week) % week
		if since >= s.length {
			until = min(until, week-since)
			continue
		}
		plugged, until = true, min(until, s.length-since)
		if since < s.charging {
			charging, until = true, min(until, s.charging-since)
		}
	}
	return plugged, charging, max(until, time.Second)
}

// staysOf gives a vehicle up to five sessions of the data that do not overlap.
func (t *traces) staysOf(number int) []stay {
	var chosen []stay
	for i := range 5 {
		s := t.stays[int(spread(number, i)%uint64(len(t.stays)))]
		if !slices.ContainsFunc(chosen, func(c stay) bool {
			return (s.arrival-c.arrival+week)%week < c.length || (c.arrival-s.arrival+week)%week < s.length
		}) {
			chosen = append(chosen, s)
		}
	}
	return chosen
}
