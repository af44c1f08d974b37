package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"parkade.dev/carlet/fleet"
)

// Admin is what a platform engineer does with the directory of keys: it may end a right, which carlet cannot.
type Admin struct {
	Keys    *fleet.Keys
	URL, CA string
	Conn    *nats.Conn
	Roll    *Roll
	Now     func() time.Time
}

// OpenAdmin connects with the credentials in a directory of keys.
func OpenAdmin(ctx context.Context, dir, credentials, url, ca string) (*Admin, error) {
	keys, err := fleet.OpenKeys(dir)
	if err != nil {
		return nil, err
	}
	admin, err := OpenRollAlone(ctx, credentials, url, ca)
	if err != nil {
		return nil, err
	}
	admin.Keys = keys
	return admin, nil
}

// OpenRollAlone connects with carlet's credentials and without any key: tokens are made and revoked on the roll.
func OpenRollAlone(ctx context.Context, credentials, url, ca string) (*Admin, error) {
	conn, err := Connect(url, credentials, ca)
	if err != nil {
		return nil, err
	}
	roll, err := OpenRoll(ctx, conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &Admin{URL: url, CA: ca, Conn: conn, Roll: roll, Now: time.Now}, nil
}

// Close ends the connection.
func (a *Admin) Close() { a.Conn.Close() }

// errNotEnrolled is the answer about a car that the roll does not have.
var errNotEnrolled = errors.New("no such car is enrolled in this fleet; check --fleet and the id")

// Find looks a car up by its real id, or by its pseudonym if id is empty.
func (a *Admin) Find(ctx context.Context, fleetName, id, vehicle string) (Entry, error) {
	if err := fleet.CheckName("fleet", fleetName); err != nil {
		return Entry{}, err
	}
	var entry Entry
	var found bool
	if id != "" {
		normal, err := fleet.NormalID(id)
		if err != nil {
			return Entry{}, err
		}
		if entry, found, err = a.Roll.Find(ctx, fleetName, a.Keys.Index(fleetName, normal)); err != nil {
			return Entry{}, err
		}
	} else {
		if err := fleet.CheckName("vehicle", vehicle); err != nil {
			return Entry{}, err
		}
		var err error
		if entry, found, err = a.Roll.FindVehicle(ctx, fleet.Key{Fleet: fleetName, Vehicle: vehicle}); err != nil {
			return Entry{}, err
		}
	}
	if !found {
		return Entry{}, errNotEnrolled
	}
	return entry, nil
}

// Revoke ends a car's right: its connection is closed, nothing is renewed, and carlet gives its replicas to others. With
// readmit, a token lets it in again, with a new key and under its old name.
func (a *Admin) Revoke(ctx context.Context, entry Entry, readmit bool) error {
	public := entry.PublicKey
	entry.Revoked = !readmit
	if readmit {
		entry.PublicKey = ""
	}
	// First the roll: from then on nobody signs anything new for the key that is revoked next.
	if err := a.Roll.Save(ctx, entry); err != nil {
		return fmt.Errorf("the car's entry changed meanwhile: %w; run the command again", err)
	}
	if public == "" {
		return nil
	}
	return a.Keys.RevokeKey(public, a.URL, a.CA, a.Now())
}

// Forget erases a car: its right, what it said, and its entry, on which every carlet forgets it too. It may be run again
// if it fails halfway. What remains for two days is the revoked public key, which names nobody.
func (a *Admin) Forget(ctx context.Context, entry Entry) error {
	if err := a.Revoke(ctx, entry, false); err != nil {
		return err
	}
	if err := a.erase(ctx, entry.Key()); err != nil {
		return err
	}
	if err := a.Roll.EraseNames(ctx, entry, ""); err != nil {
		return err
	}
	entry, found, err := a.Roll.Find(ctx, entry.Fleet, entry.Index)
	if err == nil && found {
		err = a.Roll.Erase(ctx, entry)
	}
	if err != nil {
		return err
	}
	return a.erase(ctx, entry.Key()) // what the connection carried while it was closed
}

// Name lets witnesses find a car by another name; with remove, no longer.
func (a *Admin) Name(ctx context.Context, entry Entry, name string, remove bool) error {
	normal, err := fleet.NormalID(name)
	if err != nil {
		return err
	}
	index := a.Keys.Index(entry.Fleet, normal)
	if remove {
		return a.Roll.EraseNames(ctx, entry, index)
	}
	return a.Roll.Name(ctx, entry, index)
}

// erase overwrites every stored message of a vehicle, in whatever stream keeps its subjects.
func (a *Admin) erase(ctx context.Context, key fleet.Key) error {
	js, err := jetstream.New(a.Conn)
	if err != nil {
		return err
	}
	subjects := fleet.Subject(key, ">")
	names := js.StreamNames(ctx, jetstream.WithStreamListSubject(subjects))
	for name := range names.Name() {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return err
		}
		if err := overwrite(ctx, stream, subjects); err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
	}
	return names.Err()
}

func overwrite(ctx context.Context, stream jetstream.Stream, subjects string) error {
	for next := uint64(1); ; {
		message, err := stream.GetMsg(ctx, next, jetstream.WithGetMsgSubject(subjects))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return stream.Purge(ctx, jetstream.WithPurgeSubject(subjects))
		}
		if err != nil {
			return err
		}
		if err := stream.SecureDeleteMsg(ctx, message.Sequence); err != nil {
			return err
		}
		next = message.Sequence + 1
	}
}
