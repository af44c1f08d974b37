package witness

import (
	"context"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"parkade.dev/carlet/fleet"
	"parkade.dev/carlet/identity"
)

// Forms of messages, the token after the car's or the charging station's name. Others of a maker's dispatcher (alerts,
// errors, connectivity) say nothing of where a car is.
const (
	formData        = "data"             // Tesla Fleet Telemetry, protobuf: its NATS dispatcher
	formRecord      = "V"                // the same by its type of record
	formField       = "v"                // and one signal a message, JSON: its MQTT dispatcher
	formVSS         = "vss"              // VISS version 2, JSON
	formTransaction = "TransactionEvent" // OCPP 2.x, JSON, from the charging stations' management system
)

// Listener hears witnesses and tells the registry.
type Listener struct {
	Registry *fleet.Registry
	// Find is the vehicle of a real id or other name, which it neither keeps nor logs; nil knows none.
	Find func(fleetName, name string) (fleet.Key, bool)
	// Count is told of every message.
	Count func(source string, outcome fleet.Outcome)
	// Wake is called when decisions may come out differently.
	Wake func()
	Now  func() time.Time
	Log  *slog.Logger

	mu       sync.Mutex
	sessions sessions
}

// Listen hears witnesses until the context ends.
func (l *Listener) Listen(ctx context.Context, url, credentials, ca string) error {
	conn, err := identity.Connect(url, credentials, ca, nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.IgnoreAuthErrorAbort(),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { l.Log.Warn("witnesses", "error", err) }))
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, conn.Close)
	_, err = conn.Subscribe(fleet.WitnessSubjects+">", func(msg *nats.Msg) { l.hear(msg.Subject, msg.Data) })
	return err
}

// Forget drops the sessions of a vehicle.
func (l *Listener) Forget(key fleet.Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.sessions, func(_ sessionID, s session) bool { return s.vehicle == key })
}

// hear judges one message and counts what came of it.
func (l *Listener) hear(subject string, data []byte) {
	source, outcome, changed := l.judge(subject, data)
	l.Count(source, outcome)
	if changed {
		l.Wake()
	}
}

func (l *Listener) judge(subject string, data []byte) (label string, outcome fleet.Outcome, changed bool) {
	tokens := strings.Split(strings.TrimPrefix(subject, fleet.WitnessSubjects), ".")
	if len(tokens) < 4 || fleet.CheckName("fleet", tokens[0]) != nil {
		return "unknown", fleet.UnknownSubject, false
	}
	source, known := fleet.ParseSource(tokens[1])
	switch {
	case !known:
		return "unknown", fleet.UnknownSubject, false
	case len(data) > fleet.MaxMessageBytes:
		return source.String(), fleet.Oversized, false
	}
	where := address{fleet: tokens[0], name: tokens[2], form: tokens[3], rest: tokens[4:]}
	if source == fleet.Charger {
		outcome, changed = l.hearCharger(where, data)
	} else {
		outcome, changed = l.hearMaker(where, data)
	}
	return source.String(), outcome, changed
}

// address is a subject taken apart; the name is that of a car or of a charging station.
type address struct {
	fleet, name, form string
	rest              []string
}

func (l *Listener) hearMaker(where address, data []byte) (fleet.Outcome, bool) {
	seen, vin := fleet.Sighting{Source: fleet.Maker}, ""
	var err error
	switch {
	case where.form == formData || where.form == formRecord:
		vin, seen.Claim, seen.At, err = readTesla(data)
	case where.form == formField && len(where.rest) == 1:
		seen.Claim, err = readTeslaField(where.rest[0], data)
	case where.form == formVSS:
		seen.Claim, seen.At, err = readVSS(data)
	default:
		return fleet.UnknownSubject, false
	}
	switch {
	case err != nil:
		return fleet.Garbage, false
	case vin != "" && !strings.EqualFold(vin, where.name):
		return fleet.WrongIdentity, false
	case seen.Claim == fleet.Nothing:
		return fleet.SaysNothing, false
	}
	vehicle, found := l.find(where.fleet, where.name)
	if !found {
		return fleet.UnknownVehicle, false
	}
	return l.Registry.Witnessed(vehicle, seen, l.Now())
}

func (l *Listener) hearCharger(where address, data []byte) (fleet.Outcome, bool) {
	if where.form != formTransaction {
		return fleet.UnknownSubject, false
	}
	event, err := readTransaction(data)
	switch {
	case err != nil:
		return fleet.Garbage, false
	case event == nil:
		return fleet.SaysNothing, false
	}
	now, id := l.Now(), sessionID{where.fleet, where.name, event.Info.TransactionID}
	l.mu.Lock()
	defer l.mu.Unlock()
	current := l.sessions[id]
	l.identify(&current, where, event)
	claim := event.claim(current.claim)
	if claim != fleet.Nothing {
		current.claim = claim
	}
	current.at = now
	if l.sessions == nil {
		l.sessions = sessions{}
	}
	l.sessions.keep(id, current, event.EventType == "Ended")
	if current.vehicle == (fleet.Key{}) {
		return fleet.UnknownVehicle, false
	}
	return l.Registry.Witnessed(current.vehicle, fleet.Sighting{Source: fleet.Charger, Claim: claim, At: event.Timestamp.Time}, now)
}

// identify finds out whose session it is: by who authorised it, else, if nobody did, by whose place it is at. A guest's car at
// the place of another is nobody's.
func (l *Listener) identify(current *session, where address, event *transaction) {
	begun := current.guest || current.vehicle != (fleet.Key{})
	if begun && event.EventType == "Ended" {
		return // the token is that of who stopped it
	}
	names := event.tokens()
	authorised := len(names) > 0
	if !authorised && !begun {
		names = event.place(where.name)
	}
	vehicle, found := l.find(where.fleet, names...)
	if found || authorised {
		current.vehicle, current.guest = vehicle, !found
	}
}

// find is the vehicle of the first name that is known: its pseudonym, for an adapter that hashes itself, or another.
func (l *Listener) find(fleetName string, names ...string) (fleet.Key, bool) {
	for _, name := range names {
		if key := (fleet.Key{Fleet: fleetName, Vehicle: name}); l.Registry.Knows(key) {
			return key, true
		}
		if l.Find == nil {
			continue
		}
		if key, found := l.Find(fleetName, name); found {
			return key, true
		}
	}
	return fleet.Key{}, false
}
