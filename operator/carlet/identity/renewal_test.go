package identity

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"parkade.dev/carlet/fleet"
	"parkade.dev/carlet/internal/testplane"
)

// renew asks over the link.
func renew(t *testing.T, conn *nats.Conn, grant Grant, text string) Grant {
	t.Helper()
	own := "parkade.v1." + grant.Fleet + "." + grant.Vehicle + "."
	answers, err := conn.SubscribeSync(own + "credentials")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answers.Unsubscribe() }()
	if err := errors.Join(conn.Flush(), conn.PublishRequest(own+"renew", "parkade.v1.f.v-2.desired", []byte(text))); err != nil {
		t.Fatal(err)
	}
	msg, err := answers.NextMsg(5 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var answer Grant
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestCredentialsAreRenewedOverTheLinkAndByKey(t *testing.T) {
	p := startPlane(t)
	car, grant, conn, _ := p.enrolled(t)
	testplane.Eventually(t, "the office knows the car", func() error {
		_, err := p.office.enrolled(fleet.Key{Fleet: "f", Vehicle: grant.Vehicle})
		return err
	})
	fresh := renew(t, conn, grant, `{"v":1,"brandNew":1,"csr":`+string(quoted(request(t)))+`}`)
	if fresh.Reason != "" || fresh.Certificate == "" || fresh.JWT == "" {
		t.Fatalf("%+v", fresh)
	}
	fresh.Fleet = "f"
	if _, err := car.connect(t, p, fresh); err != nil {
		t.Error(err)
	}
	if _, err := newSeat(t).connect(t, p, fresh); err == nil {
		t.Error("a stranger uses the token")
	}

	prove := func(change func(*Renewal)) (Grant, int) {
		answer, err := p.web.Client().Get(p.web.URL + "/v1/nonce")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		asked := Renewal{V: 1, Fleet: "f", Vehicle: grant.Vehicle, PublicKey: car.public}
		if err := json.NewDecoder(answer.Body).Decode(&asked); err != nil {
			t.Fatal(err)
		}
		if asked.Signature, err = car.user.Sign(asked.Proof()); err != nil {
			t.Fatal(err)
		}
		change(&asked)
		return p.post(t, "/v1/renew", "", asked)
	}
	if again, status := prove(func(*Renewal) {}); status != http.StatusOK || again.Vehicle != grant.Vehicle {
		t.Errorf("a car that slept too long: %d %+v", status, again)
	}
	thief := newSeat(t)
	for name, change := range map[string]func(*Renewal){
		"no signature":  func(r *Renewal) { r.Signature = nil },
		"another car":   func(r *Renewal) { r.Vehicle = "v-2" },
		"another csr":   func(r *Renewal) { r.CSR = request(t) },
		"no nonce":      func(r *Renewal) { r.Nonce = "" },
		"own nonce":     func(r *Renewal) { r.Nonce = "1.ab"; r.Signature, _ = car.user.Sign(r.Proof()) },
		"another's key": func(r *Renewal) { r.PublicKey = thief.public; r.Signature, _ = thief.user.Sign(r.Proof()) },
	} {
		if grant, status := prove(change); status == http.StatusOK || grant.JWT != "" {
			t.Errorf("%s: %d %+v", name, status, grant)
		}
	}
	if grant, _ := prove(func(*Renewal) { p.mu.Lock(); p.clock += 2 * nonceLife; p.mu.Unlock() }); grant.JWT != "" {
		t.Error("an old nonce is taken")
	}
}

func quoted(text string) []byte {
	encoded, _ := json.Marshal(text)
	return encoded
}
