package drive

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"parkade.dev/carlet/fleet"
)

const waitingForURL = "WaitingForUrl"

// replica is one model held for one workload, without the model.
type replica struct {
	fleet.HeldByVehicle
	need      int64  // bytes of memory
	size      int64  // bytes of the artifact
	until     moment // when the phase ends by itself
	withdrawn bool
}

// contract is what a driven vehicle enforces of its pool's terms.
type contract struct {
	RequirePluggedIn *bool    `json:"requirePluggedIn"`
	MinStateOfCharge *float64 `json:"minStateOfCharge"`
	Links            []string `json:"links"`
}

// refusal is why the car as a whole may not work now; the words are those of the agent.
func (v *vehicle) refusal() (reason, message string) {
	var terms contract
	if len(v.desired.Contract) > 0 {
		terms = v.driver.terms(v.desired.Contract)
	}
	plugged, floor, links := true, 50.0, []string{"WiFi", "Ethernet", "Starlink"}
	if terms.RequirePluggedIn != nil {
		plugged = *terms.RequirePluggedIn
	}
	if terms.MinStateOfCharge != nil {
		floor = *terms.MinStateOfCharge
	}
	if terms.Links != nil {
		links = terms.Links
	}
	switch {
	case v.leaving:
		return "Leaving", "the car is about to leave; plug it in to offer it again"
	case plugged && v.unplugged:
		return "NotPluggedIn", "the contract wants the car plugged in, and it is not; plug it in"
	case v.driver.options.Charge < floor:
		return "ChargeTooLow", fmt.Sprintf("the battery is at %g %% and the contract wants %g %%; let it charge", v.driver.options.Charge, floor)
	case !slices.Contains(links, v.link):
		return "LinkNotAllowed", fmt.Sprintf("the link is %s and the contract allows %s; change the network", v.link, strings.Join(links, ", "))
	}
	return "", ""
}

// need is what a replica takes: what was declared, and never less than the artifact itself.
func need(a fleet.Assignment) int64 { return max(a.Memory, a.Bytes) }

// verdict is why one assignment is refused; empty if it is taken.
type verdict struct{ reason, message string }

// admit gives memory in the order of the desired set, once the car as a whole may work.
func (v *vehicle) admit() []verdict {
	verdicts := make([]verdict, len(v.desired.Assignments))
	reason, message := v.refusal()
	free := v.driver.options.Memory
	for i, a := range v.desired.Assignments {
		switch {
		case reason != "":
			verdicts[i] = verdict{reason, message}
		case a.Format != "onnx":
			verdicts[i] = verdict{"FormatNotSupported", fmt.Sprintf("cars load onnx and not '%s'; add an artifact of that format", a.Format)}
		case need(a) > free:
			verdicts[i] = verdict{"NotEnoughMemory", fmt.Sprintf("it needs %d bytes and %d of the car's %d are free; place it elsewhere",
				need(a), free, v.driver.options.Memory)}
		default:
			free -= need(a)
		}
	}
	return verdicts
}

// apply makes what is held be what should be held, as the agent's apply does.
func (v *vehicle) apply(now moment) {
	verdicts := v.admit()
	wanted := func(r *replica) *fleet.Assignment {
		for i := range v.desired.Assignments {
			a := &v.desired.Assignments[i]
			if verdicts[i].reason == "" && a.Workload == r.Workload && a.Digest == r.Digest {
				return a
			}
		}
		return nil
	}
	ordered := v.refusedAs() == ""
	for i := range v.held {
		r := &v.held[i]
		if r.withdrawn || wanted(r) != nil || r.Phase == fleet.PhaseReady && v.standsIn(r, verdicts) {
			continue
		}
		v.withdraw(r, now, ordered)
	}
	v.held = slices.DeleteFunc(v.held, func(r replica) bool { return r.withdrawn && r.Phase != fleet.PhaseDraining })
	for i, a := range v.desired.Assignments {
		if verdicts[i].reason == "" && !slices.ContainsFunc(v.held, func(r replica) bool { return r.Workload == a.Workload && r.Digest == a.Digest }) {
			v.held = append(v.held, replica{
				HeldByVehicle: fleet.HeldByVehicle{Workload: a.Workload, Digest: a.Digest, Phase: fleet.PhaseFetching},
				need:          need(a), size: a.Bytes, until: never,
			})
		}
	}
	if v.nextAhead() == nil {
		v.stopAhead(now)
	}
	v.proceed(now)
	v.prepare(now)
}

func (v *vehicle) refusedAs() string {
	reason, _ := v.refusal()
	return reason
}

// standsIn says whether a serving replica stays until its successor of another digest is ready, and both fit until then.
func (v *vehicle) standsIn(old *replica, verdicts []verdict) bool {
	total, successor := old.need, false
	for i, a := range v.desired.Assignments {
		if verdicts[i].reason != "" {
			continue
		}
		total += need(a)
		if a.Workload == old.Workload {
			successor = !slices.ContainsFunc(v.held, func(r replica) bool {
				return r.Workload == a.Workload && r.Digest == a.Digest && r.Phase == fleet.PhaseReady
			})
		}
	}
	return successor && total <= v.driver.options.Memory
}

func (v *vehicle) withdraw(r *replica, now moment, ordered bool) {
	r.withdrawn, r.until = true, never
	if r.Phase != fleet.PhaseReady {
		r.Phase = ""
		return
	}
	if ordered {
		v.driver.counts.unloadsByOrder.Add(1)
	} else {
		v.driver.counts.unloadsByContract.Add(1)
		v.driver.counts.cell(v.desired.Cell).unloadsByContract.Add(1)
	}
	r.Phase, r.until = fleet.PhaseDraining, now+v.driver.options.Drain
}

// proceed moves every replica on whose phase is over.
func (v *vehicle) proceed(now moment) {
	for i := range v.held {
		r := &v.held[i]
		if r.Phase == fleet.PhaseFetching && r.until == never {
			v.fetch(r, now)
		}
		if r.until > now {
			continue
		}
		switch r.Phase {
		case fleet.PhaseFetching:
			v.fetched(r, now)
		case fleet.PhaseLoading:
			r.Phase, r.until = fleet.PhaseReady, never
			v.loaded(r)
		case fleet.PhaseDraining:
			r.Phase = ""
		}
	}
	before := len(v.held)
	v.held = slices.DeleteFunc(v.held, func(r replica) bool { return r.Phase == "" })
	if len(v.held) != before && len(v.held) == 0 {
		v.held = nil
	}
}

// fetch begins to get the artifact: it is on disk, or a URL is known and the time of the download begins.
func (v *vehicle) fetch(r *replica, now moment) {
	if slices.Contains(v.models, r.Digest) {
		v.load(r, now)
		return
	}
	url := ""
	for _, a := range v.desired.Assignments {
		if a.Workload == r.Workload && a.Digest == r.Digest {
			url, r.size = a.URL, a.Bytes
		}
	}
	if url == "" {
		r.Reason, r.Message = waitingForURL, "the model is not staged yet; the car waits for its URL"
		return
	}
	if v.fetchAt > now {
		return
	}
	r.Reason, r.Message = "", ""
	if v.driver.fetcher == nil {
		left := r.size
		if v.ahead.digest == r.Digest {
			left = v.ahead.left
		}
		r.until = now + v.driver.lasting(left)
		return
	}
	if !v.fetching {
		v.fetching = true
		go v.download(v.driver.stopped, r.Digest, url)
	}
}

// lasting is how long a pretended download of so many bytes takes.
func (d *Driver) lasting(size int64) moment {
	return moment(float64(size) / d.options.Rate * 1e9)
}

func (v *vehicle) fetched(r *replica, now moment) {
	v.own(r.Digest)
	v.driver.counts.fetches.Add(1)
	v.load(r, now)
}

func (v *vehicle) load(r *replica, now moment) {
	r.Phase, r.Reason, r.Message, r.until = fleet.PhaseLoading, "", "", now+v.driver.options.Load
}

// loaded counts; the second load of the same model in a vehicle's life is a reload.
func (v *vehicle) loaded(r *replica) {
	v.driver.counts.loads.Add(1)
	v.driver.counts.cell(v.desired.Cell).loads.Add(1)
	mark := r.Workload + " " + r.Digest
	if slices.Contains(v.once, mark) {
		v.driver.counts.reloads.Add(1)
		return
	}
	v.once = append(v.once, v.driver.intern(mark))
}

// rows are what the state message says of assignments: those desired, then those that leave or stand in. A refusal of the
// car is said once, and is none of the workload.
func (v *vehicle) rows() []fleet.HeldByVehicle {
	rows := make([]fleet.HeldByVehicle, 0, len(v.desired.Assignments))
	shown := func(r *replica) fleet.HeldByVehicle { return r.HeldByVehicle }
	if v.refusedAs() != "" {
		for i := range v.held {
			rows = append(rows, shown(&v.held[i]))
		}
		return rows
	}
	verdicts := v.admit()
	desired := map[[2]string]bool{}
	for i, a := range v.desired.Assignments {
		desired[[2]string{a.Workload, a.Digest}] = true
		row := fleet.HeldByVehicle{Workload: a.Workload, Digest: a.Digest, Phase: fleet.PhaseFetching}
		if verdicts[i].reason != "" {
			row.Phase, row.Reason, row.Message = fleet.PhaseRefused, verdicts[i].reason, verdicts[i].message
		}
		for j := range v.held {
			if r := &v.held[j]; verdicts[i].reason == "" && r.Workload == a.Workload && r.Digest == a.Digest {
				row = shown(r)
			}
		}
		rows = append(rows, row)
	}
	for i := range v.held {
		if r := &v.held[i]; !desired[[2]string{r.Workload, r.Digest}] {
			rows = append(rows, shown(r))
		}
	}
	return rows
}

// terms reads a contract once for all vehicles that are told the same.
func (d *Driver) terms(text json.RawMessage) contract {
	if known, ok := d.contracts.Load(string(text)); ok {
		return known.(contract) //nolint:forcetypeassert // nothing else is stored
	}
	var terms contract
	if err := json.Unmarshal(text, &terms); err != nil {
		d.counts.garbage.Add(1)
	}
	d.contracts.Store(string(text), terms)
	return terms
}
