package identity

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parkade.dev/carlet/fleet"
)

func TestACarEnrolsItselfUnderAKeyedName(t *testing.T) {
	p := startPlane(t)
	token, car := p.token(t, "owners-ca", time.Hour), newSeat(t)
	ask := Enrolment{V: 1, Fleet: "owners-ca", ID: realID, PublicKey: car.public, CSR: request(t)}
	grant, status := p.post(t, "/v1/enroll", token, ask)
	if status != http.StatusOK || fleet.CheckName("vehicle", grant.Vehicle) != nil || strings.Contains(strings.ToUpper(grant.Vehicle), realID) {
		t.Fatalf("%d %+v", status, grant)
	}
	conn, err := car.connect(t, p, grant)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Publish("parkade.v1.owners-ca."+grant.Vehicle+".beat", []byte(`{"v":1}`)); err != nil || conn.FlushTimeout(5*time.Second) != nil || conn.LastError() != nil {
		t.Error(err, conn.LastError())
	}
	block, _ := pem.Decode([]byte(grant.Certificate))
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil || len(certificate.URIs) != 1 || certificate.URIs[0].String() != "parkade://vehicle/owners-ca/"+grant.Vehicle || len(certificate.DNSNames) > 0 {
		t.Errorf("the certificate names %v %v, %v", certificate.URIs, certificate.DNSNames, err)
	}
	if err := certificate.CheckSignatureFrom(p.office.Issuer.VehicleCA()); err != nil || time.Until(certificate.NotAfter) > time.Hour {
		t.Errorf("%v, until %s", err, certificate.NotAfter)
	}

	ask.ID = " 5yj3e1ea7 kf317000" // as somebody else types it
	if again, _ := p.post(t, "/v1/enroll", token, ask); again.Vehicle != grant.Vehicle {
		t.Errorf("the same car is %q, then %q", grant.Vehicle, again.Vehicle)
	}
	ask.PublicKey = newSeat(t).public
	if taken, status := p.post(t, "/v1/enroll", token, ask); status != http.StatusConflict || taken.Reason != KeyDiffers {
		t.Errorf("another key takes the car over: %d %+v", status, taken)
	}
	other := Enrolment{V: 1, Fleet: "other", ID: realID, PublicKey: car.public}
	if elsewhere, _ := p.post(t, "/v1/enroll", p.token(t, "other", time.Hour), other); elsewhere.Vehicle == grant.Vehicle || elsewhere.Vehicle == "" {
		t.Errorf("two fleets know the car as %q", elsewhere.Vehicle)
	}
}

func TestWhatIsNoTokenOfTheFleetOpensNothing(t *testing.T) {
	p := startPlane(t)
	car := newSeat(t)
	good, brief, ended := p.token(t, "f", time.Hour), p.token(t, "f", time.Second), p.token(t, "f", time.Hour)
	if err := p.admin.Roll.RevokeToken(t.Context(), "f", strings.Split(ended, "_")[1]); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.clock = 2 * time.Second
	p.mu.Unlock()
	ask := Enrolment{V: 1, Fleet: "f", ID: realID, PublicKey: car.public}
	wrong := good[:len(good)-1] + map[bool]string{true: "1", false: "0"}[good[len(good)-1] == '0']
	for _, token := range []string{"", "x", wrong, brief, ended, p.token(t, "g", time.Hour), strings.ToUpper(good)} {
		if grant, status := p.post(t, "/v1/enroll", token, ask); status != http.StatusUnauthorized || grant.Reason != TokenRefused {
			t.Errorf("%q: %d %+v", token, status, grant)
		}
	}
	if _, status := p.post(t, "/v1/enroll", good, ask); status != http.StatusOK {
		t.Errorf("the good one of several: %d", status)
	}
	for _, ask := range []Enrolment{{Fleet: "f", ID: "", PublicKey: car.public}, {Fleet: "f", ID: realID, PublicKey: "UABC"}} {
		if grant, status := p.post(t, "/v1/enroll", good, ask); status != http.StatusBadRequest || grant.Reason != Malformed {
			t.Errorf("%+v: %d %+v", ask, status, grant)
		}
	}
	for range 2 * failuresBurst {
		p.post(t, "/v1/enroll", wrong, ask)
	}
	if grant, status := p.post(t, "/v1/enroll", wrong, ask); status != http.StatusTooManyRequests || grant.Reason != TooManyAsk {
		t.Errorf("guessing goes on: %d %+v", status, grant)
	}
	tokens, err := p.admin.Roll.Tokens(t.Context(), "f")
	if err != nil || len(tokens) != 2 {
		t.Errorf("%v %v", tokens, err)
	}
	if found := grep(t, filepath.Dir(p.options.Dir), good[len(good)-20:]); len(found) > 0 {
		t.Errorf("the token's secret is in %v", found)
	}
}
