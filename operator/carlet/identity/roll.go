package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"parkade.dev/carlet/fleet"
)

// Bucket is the key-value bucket with the tokens and the cars of all fleets.
const Bucket = "PARKADE_FLEET"

// forgottenMarker is how long the roll remembers that something was deleted, so that every carlet hears of it.
const forgottenMarker = 48 * time.Hour

const rollTimeout = 10 * time.Second

// Car is what the fleet keeps of one enrolment. Its key in the roll is fleet.Issuer's Index of the real id, which
// stands nowhere.
type Car struct {
	Vehicle string `json:"vehicle"` // the pseudonym
	Salt    []byte `json:"salt"`
	// PublicKey is the user nkey whose seed is in the car; empty while the next enrolment may bring a new one.
	PublicKey string `json:"publicKey"`
	Enrolled  int64  `json:"enrolled"` // unix seconds
	Revoked   bool   `json:"revoked,omitempty"`
}

// Token lets cars into one fleet. The secret itself is with whom it was made for.
type Token struct {
	SHA256  string `json:"sha256"`
	Created int64  `json:"created"` // unix seconds
	Expires int64  `json:"expires"`
}

// Roll is the fleet's memory of tokens and cars, in JetStream: every carlet sees the same one.
type Roll struct {
	kv jetstream.KeyValue
}

// OpenRoll opens the roll, or makes it.
func OpenRoll(ctx context.Context, conn *nats.Conn) (*Roll, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, err
	}
	kv, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: Bucket, Description: "Tokens and cars of the fleets", Storage: jetstream.FileStorage, LimitMarkerTTL: forgottenMarker,
	})
	if err != nil {
		return nil, fmt.Errorf("the fleet's roll: %w", err)
	}
	return &Roll{kv}, nil
}

func carKey(fleet, index string) string  { return "car." + fleet + "." + index }
func nameKey(fleet, index string) string { return "name." + fleet + "." + index }
func tokenKey(fleet, id string) string   { return "token." + fleet + "." + id }

// read decodes an entry; found is false if there is none.
func (r *Roll) read(ctx context.Context, key string, into any) (revision uint64, found bool, err error) {
	entry, err := r.kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	return entry.Revision(), true, json.Unmarshal(entry.Value(), into)
}

// write creates an entry (revision 0) or replaces the one that was read; jetstream.ErrKeyExists says that another was faster.
func (r *Roll) write(ctx context.Context, key string, revision uint64, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if revision == 0 {
		_, err = r.kv.Create(ctx, key, text)
		return err
	}
	if _, err = r.kv.Update(ctx, key, text, revision); err == nil {
		return nil
	}
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return jetstream.ErrKeyExists
	}
	return err
}

// erase removes an entry and leaves a marker without a value, so that watchers hear of it. The server's files are
// encrypted, so what it has not rewritten yet cannot be read there.
func (r *Roll) erase(ctx context.Context, key string) error {
	return r.kv.Purge(ctx, key, jetstream.PurgeTTL(forgottenMarker))
}

// Entry is a car with its place in the roll.
type Entry struct {
	Car
	Fleet    string
	Index    string
	revision uint64
}

// Key names the vehicle.
func (e *Entry) Key() fleet.Key { return fleet.Key{Fleet: e.Fleet, Vehicle: e.Vehicle} }

// Find looks a car up by its index.
func (r *Roll) Find(ctx context.Context, fleet, index string) (entry Entry, found bool, err error) {
	entry.Fleet, entry.Index = fleet, index
	entry.revision, found, err = r.read(ctx, carKey(fleet, index), &entry.Car)
	return entry, found, err
}

// Save writes an entry that was found, or is new.
func (r *Roll) Save(ctx context.Context, entry Entry) error {
	return r.write(ctx, carKey(entry.Fleet, entry.Index), entry.revision, entry.Car)
}

// Erase removes a car for good.
func (r *Roll) Erase(ctx context.Context, entry Entry) error {
	return r.erase(ctx, carKey(entry.Fleet, entry.Index))
}

// named is an entry of another name of a car, such as its card at chargers; its key in the roll is the Index of the name.
type named struct {
	Car string `json:"car"` // Index of the real id
}

// Name lets a car be found by another name too, which it takes from whoever had it.
func (r *Roll) Name(ctx context.Context, entry Entry, index string) error {
	key := nameKey(entry.Fleet, index)
	var before named
	revision, _, err := r.read(ctx, key, &before)
	if err != nil || before.Car == entry.Index {
		return err
	}
	return r.write(ctx, key, revision, named{entry.Index})
}

// EraseNames removes all other names of a car, or one, by its index.
func (r *Roll) EraseNames(ctx context.Context, entry Entry, one string) error {
	names, err := r.kv.ListKeysFiltered(ctx, nameKey(entry.Fleet, "*"))
	if err != nil {
		return err
	}
	var keys []string
	for key := range names.Keys() {
		keys = append(keys, key)
	}
	for _, key := range keys {
		var of named
		_, found, err := r.read(ctx, key, &of)
		if err == nil && found && of.Car == entry.Index && (one == "" || key == nameKey(entry.Fleet, one)) {
			err = r.erase(ctx, key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// FindVehicle looks a car up by its pseudonym, going through the fleet's cars: for a person's command, not for traffic.
func (r *Roll) FindVehicle(ctx context.Context, key fleet.Key) (entry Entry, found bool, err error) {
	watcher, err := r.kv.Watch(ctx, carKey(key.Fleet, "*"), jetstream.IgnoreDeletes())
	if err != nil {
		return Entry{}, false, err
	}
	defer func() { err = errors.Join(err, watcher.Stop()) }()
	for {
		select {
		case <-ctx.Done():
			return Entry{}, false, ctx.Err()
		case update := <-watcher.Updates():
			if update == nil {
				return Entry{}, false, nil
			}
			fleet, index, ok := parseCarKey(update.Key())
			entry := Entry{Fleet: fleet, Index: index, revision: update.Revision()}
			if ok && json.Unmarshal(update.Value(), &entry.Car) == nil && entry.Vehicle == key.Vehicle {
				return entry, true, nil
			}
		}
	}
}
