package identity

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"parkade.dev/carlet/fleet"
	"parkade.dev/carlet/internal/testplane"
)

func TestARevokedCarIsOutAtOnceAndStaysOut(t *testing.T) {
	p := startPlane(t)
	car, grant, conn, token := p.enrolled(t)
	_, other, stays, _ := func() (seat, Grant, *nats.Conn, string) {
		second := newSeat(t)
		grant, _ := p.post(t, "/v1/enroll", token, Enrolment{V: 1, Fleet: "f", ID: "another", PublicKey: second.public})
		conn, err := second.connect(t, p, grant)
		if err != nil {
			t.Fatal(err)
		}
		return second, grant, conn, ""
	}()
	entry, err := p.admin.Find(t.Context(), "f", "", grant.Vehicle)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := p.admin.Revoke(t.Context(), entry, false); err != nil {
		t.Fatal(err)
	}
	p.awaitEvent(t, "revoked "+grant.Vehicle)
	testplane.Eventually(t, "its connection is closed", func() error {
		if !conn.IsClosed() {
			return errors.New("still open")
		}
		return nil
	})
	t.Logf("carlet knew, and the connection was closed, within %s", time.Since(began))
	if !stays.IsConnected() || other.Vehicle == grant.Vehicle {
		t.Error("another car lost its connection too")
	}
	if _, err := car.connect(t, p, grant); err == nil {
		t.Error("it is back with its old credentials")
	}
	ahead, err := p.office.Issuer.Token(fleet.Key{Fleet: "f", Vehicle: grant.Vehicle}, car.public, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := car.connect(t, p, Grant{Fleet: "f", Vehicle: grant.Vehicle, JWT: ahead}); err == nil {
		t.Error("what a carlet signed that had not heard yet is good")
	}
	ask := Enrolment{V: 1, Fleet: "f", ID: realID, PublicKey: car.public}
	if again, status := p.post(t, "/v1/enroll", token, ask); status != http.StatusForbidden || again.Reason != Revoked {
		t.Errorf("a token brings it back: %d %+v", status, again)
	}

	// A restart with the configuration written anew, and with the one from before the revocation.
	p.server.Kill(t)
	if _, err := fleet.InitKeys(p.options); err != nil {
		t.Fatal(err)
	}
	p.server = testplane.StartNATS(t, p.file(fleet.ServerConfigFile), p.options.Port)
	if _, err := car.connect(t, p, grant); err == nil {
		t.Error("a restart of nats-server lets it in again")
	}

	testplane.Eventually(t, "it is readmitted", func() error {
		entry, err := p.admin.Find(t.Context(), "f", realID, "")
		if err != nil {
			return err
		}
		return p.admin.Revoke(t.Context(), entry, true)
	})
	ask.PublicKey = newSeat(t).public
	testplane.Eventually(t, "a new key under the old name", func() error {
		again, status := p.post(t, "/v1/enroll", token, ask)
		if status != http.StatusOK || again.Vehicle != grant.Vehicle {
			return fmt.Errorf("%d %+v", status, again)
		}
		return nil
	})
	p.awaitEvent(t, "readmitted "+grant.Vehicle)
}
