package drive

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"time"

	"parkade.dev/carlet/fleet"
)

// Tell says something as a witness.
type Tell func(subject string, data []byte) error

// sighted is what the witnesses of one vehicle last said.
type sighted struct {
	at      moment // when they look again
	plugged bool
	session int
}

// look lets the witnesses say what they see: each change at once, and that the car stands at its plug now and then. The
// charger has a line of its own; the maker hears the car over its own modem, which fails with a cellular link.
func (v *vehicle) look(now moment) {
	o := &v.driver.options
	charger := portion(v.number, 10) < o.Chargers
	maker := portion(v.number, 11) < o.Telemetry && (v.link != "Cellular" || v.lostUntil <= now)
	plugged := !v.unplugged && !v.vanished
	changed := plugged != v.sighted.plugged
	if v.sighted.plugged = plugged; changed && plugged {
		v.sighted.session++
	}
	if changed || plugged {
		if charger {
			v.tellSession(changed, plugged)
		}
		if maker {
			v.tellTelemetry(plugged)
		}
	}
	v.sighted.at = never
	if plugged && (charger || portion(v.number, 11) < o.Telemetry) {
		v.sighted.at = now + time.Duration(float64(o.Sighting)*(1-beatJitter+2*beatJitter*rand.Float64()))
	}
}

// watched says whether the vehicle has a witness that would see what has changed, or looks now.
func (v *vehicle) watched(now moment) bool {
	o := &v.driver.options
	return o.Chargers+o.Telemetry > 0 && (v.sighted.at <= now || v.sighted.plugged == (v.unplugged || v.vanished))
}

// tellSession is an OCPP TransactionEventRequest; the car's pseudonym is its token.
func (v *vehicle) tellSession(changed, plugged bool) {
	kind, trigger, info := "Updated", "MeterValuePeriodic", map[string]any{"transactionId": strconv.Itoa(v.sighted.session)}
	switch {
	case changed && plugged:
		kind, trigger = "Started", "CablePluggedIn"
	case changed:
		kind, trigger, info["stoppedReason"] = "Ended", "EVCommunicationLost", "EVDisconnected"
	}
	if plugged {
		info["chargingState"] = "EVConnected"
	}
	v.tell(fleet.Charger, v.key.Vehicle+".TransactionEvent", map[string]any{
		"eventType": kind, "timestamp": time.Now().UTC(), "triggerReason": trigger, "seqNo": 0, "transactionInfo": info,
		"idToken": map[string]string{"idToken": v.key.Vehicle, "type": "Central"},
	})
}

// tellTelemetry is one signal as Tesla Fleet Telemetry dispatches it over MQTT.
func (v *vehicle) tellTelemetry(plugged bool) {
	signal, value := "Gear", "ShiftStateD"
	if plugged {
		signal, value = "DetailedChargeState", "DetailedChargeStateComplete"
	}
	v.tell(fleet.Maker, v.key.Vehicle+".v."+signal, map[string]string{"value": value})
}

func (v *vehicle) tell(source fleet.Source, rest string, message any) {
	text, err := json.Marshal(message)
	if err != nil { // maps of strings, numbers and times always marshal
		panic(err)
	}
	v.driver.counts.sightings.Add(1)
	subject := fleet.WitnessSubjects + v.key.Fleet + "." + source.String() + "." + rest
	if err := v.driver.options.Tell[source](subject, text); err != nil {
		v.driver.failed(err)
	}
}
