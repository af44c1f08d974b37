package identity

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"parkade.dev/carlet/fleet"
)

const (
	retryRoll     = 2 * time.Second
	reconnectWait = 500 * time.Millisecond
)

func (o *Office) serve(ctx context.Context) {
	defer o.conn.Close()
	for ctx.Err() == nil {
		err := o.watch(ctx)
		if err == nil || ctx.Err() != nil {
			continue
		}
		o.Log.Warn("the fleet's roll cannot be read; changes of it are not heard", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(retryRoll):
		}
	}
}

// watch follows the roll from its beginning until the link is connected anew; once it is known, renewals are answered.
func (o *Office) watch(ctx context.Context) error {
	opening, cancel := context.WithTimeout(ctx, rollTimeout)
	roll, err := OpenRoll(opening, o.conn)
	cancel()
	if err != nil {
		return err
	}
	watcher, err := roll.kv.WatchFiltered(ctx, []string{"car.>", "name.>"})
	if err != nil {
		return err
	}
	defer func() { _ = watcher.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-o.again:
			return nil
		case update, open := <-watcher.Updates():
			switch {
			case !open:
				return errors.New("its watch ended")
			case update != nil:
				o.learn(update)
			case !o.Ready():
				if _, err := o.conn.QueueSubscribe("parkade.v1.*.*."+string(fleet.KindRenew), "carlet", o.renewOverLink); err != nil {
					return err
				}
				o.mu.Lock()
				o.roll = roll
				o.mu.Unlock()
			}
		}
	}
}

// learn takes one change of the roll.
func (o *Office) learn(update jetstream.KeyValueEntry) {
	name, index, ok := parseCarKey(update.Key())
	if !ok {
		o.learnName(update)
		return
	}
	if update.Operation() != jetstream.KeyValuePut {
		o.mu.Lock()
		key, known := o.byIndex[update.Key()]
		delete(o.byIndex, update.Key())
		delete(o.cars, key)
		delete(o.renewed, key)
		o.mu.Unlock()
		if known {
			o.Forgotten(key)
		}
		return
	}
	entry := Entry{Fleet: name, Index: index, revision: update.Revision()}
	if err := json.Unmarshal(update.Value(), &entry.Car); err != nil {
		o.Log.Warn("an entry of the fleet's roll cannot be read", "error", err)
		return
	}
	key := entry.Key()
	o.mu.Lock()
	before := o.cars[key]
	o.cars[key], o.byIndex[update.Key()] = entry, key
	o.mu.Unlock()
	switch out := entry.out(); {
	case out && !before.out():
		o.Revoked(key)
	case !out && before.out():
		o.Readmitted(key)
	}
}

// learnName takes one change of another name of a car.
func (o *Office) learnName(update jetstream.KeyValueEntry) {
	fleetName, _, _ := strings.Cut(strings.TrimPrefix(update.Key(), "name."), ".")
	var of named
	o.mu.Lock()
	defer o.mu.Unlock()
	if update.Operation() != jetstream.KeyValuePut || json.Unmarshal(update.Value(), &of) != nil {
		delete(o.names, update.Key())
		return
	}
	o.names[update.Key()] = carKey(fleetName, of.Car)
}

// Find is the vehicle of a car by its real id, or by another name that it was given; the name is hashed at once, and neither
// kept nor logged.
func (o *Office) Find(fleetName, name string) (fleet.Key, bool) {
	normal, err := fleet.NormalID(name)
	if err != nil {
		return fleet.Key{}, false
	}
	index := o.Issuer.Index(fleetName, normal)
	o.mu.Lock()
	defer o.mu.Unlock()
	if key, found := o.byIndex[carKey(fleetName, index)]; found {
		return key, true
	}
	key, found := o.byIndex[o.names[nameKey(fleetName, index)]]
	return key, found
}

// out says that no credentials of the car are good now.
func (e *Entry) out() bool { return e.Vehicle != "" && (e.Revoked || e.PublicKey == "") }

func parseCarKey(key string) (fleet, index string, ok bool) {
	parts := strings.Split(key, ".")
	if len(parts) != 3 || parts[0] != "car" {
		return "", "", false
	}
	return parts[1], parts[2], true
}

// renewOverLink answers a vehicle on its own subject: who may publish there has proved its name to the server. The
// answer goes to the vehicle's own `credentials`, never to a reply subject, which the vehicle could point at another's.
func (o *Office) renewOverLink(msg *nats.Msg) {
	key, kind, err := fleet.ParseSubject(msg.Subject)
	if err != nil || kind != fleet.KindRenew || len(msg.Data) > fleet.MaxMessageBytes || !o.mayAsk(key) {
		return
	}
	var asked Renewal
	answer := Grant{}
	entry, err := o.enrolled(key)
	if err == nil {
		if json.Unmarshal(msg.Data, &asked) != nil || asked.V != fleet.Version {
			err = malformed("renew is not a JSON object of version 1")
		} else {
			answer, err = o.grant(key, entry.PublicKey, asked.CSR)
		}
	}
	o.Count("link", reasonOf(err))
	if err != nil {
		answer = refusalAsGrant(err)
	}
	text, err := json.Marshal(answer)
	if err == nil {
		err = o.conn.Publish(fleet.Subject(key, fleet.KindCredentials), text)
	}
	if err != nil {
		o.Log.Warn("an answer about credentials was not sent; the vehicle asks again", "error", err)
	}
}

// mayAsk keeps one vehicle from asking for signatures in a loop.
func (o *Office) mayAsk(key fleet.Key) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.Now()
	if last, asked := o.renewed[key]; asked && now.Sub(last) < renewEvery {
		return false
	}
	if len(o.renewed) >= fleet.MaxVehicles {
		clear(o.renewed)
	}
	o.renewed[key] = now
	return true
}
