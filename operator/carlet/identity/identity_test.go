package identity

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"parkade.dev/carlet/fleet"
	"parkade.dev/carlet/internal/testplane"
)

const realID = "5YJ3E1EA7KF317000"

// plane is a real nats-server with an office on it, its HTTP server, and a platform engineer.
type plane struct {
	options fleet.KeysOptions
	server  *testplane.Process
	office  *Office
	web     *httptest.Server
	admin   *Admin
	log     *bytes.Buffer

	mu     sync.Mutex
	events []string
	clock  time.Duration // ahead of the real one
}

func startPlane(t *testing.T) *plane {
	t.Helper()
	dir := t.TempDir()
	p := &plane{log: &bytes.Buffer{}, options: fleet.KeysOptions{
		Dir: filepath.Join(dir, "fleet"), Host: "127.0.0.1", Port: testplane.FreePort(t), JetStreamDir: filepath.Join(dir, "jetstream"),
	}}
	if _, err := fleet.InitKeys(p.options); err != nil {
		t.Fatal(err)
	}
	p.server = testplane.StartNATS(t, p.file(fleet.ServerConfigFile), p.options.Port)
	issuer, err := fleet.OpenIssuer(p.options.Dir, p.file(fleet.CarletCredentialsFile))
	if err != nil {
		t.Fatal(err)
	}
	note := func(event string) func(fleet.Key) {
		return func(key fleet.Key) { p.mu.Lock(); p.events = append(p.events, event+" "+key.Vehicle); p.mu.Unlock() }
	}
	p.office = &Office{
		Issuer: issuer, Life: time.Hour, Now: func() time.Time { p.mu.Lock(); defer p.mu.Unlock(); return time.Now().Add(p.clock) },
		Revoked: note("revoked"), Readmitted: note("readmitted"), Forgotten: note("forgotten"),
		Count: func(string, Reason) {}, Log: slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	if err := p.office.Open(ctx, p.url(), p.file(fleet.CarletCredentialsFile), ""); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	NewServer(p.office).Register(mux)
	p.web = httptest.NewServer(mux)
	t.Cleanup(p.web.Close)
	if p.admin, err = OpenAdmin(ctx, p.options.Dir, p.file(fleet.CarletCredentialsFile), p.url(), ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.admin.Close)
	testplane.Eventually(t, "the office is open", func() error {
		if !p.office.Ready() {
			return errors.New("not yet")
		}
		return nil
	})
	return p
}

func (p *plane) file(name string) string { return filepath.Join(p.options.Dir, name) }
func (p *plane) url() string             { return testplane.NATSURL(p.options.Port) }

func (p *plane) token(t *testing.T, fleetName string, life time.Duration) string {
	t.Helper()
	token, err := p.admin.Roll.MakeToken(t.Context(), fleetName, life, p.office.Now())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (p *plane) awaitEvent(t *testing.T, event string) {
	t.Helper()
	testplane.Eventually(t, event, func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, said := range p.events {
			if said == event {
				return nil
			}
		}
		return fmt.Errorf("%v", p.events)
	})
}

// post asks as a car does; it returns the grant, or the status and Reason of a refusal.
func (p *plane) post(t *testing.T, path, token string, body any) (grant Grant, status int) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequest(http.MethodPost, p.web.URL+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := p.web.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&grant); err != nil {
		t.Fatal(err)
	}
	return grant, answer.StatusCode
}

// seat is a car with a key of its own.
type seat struct {
	user   nkeys.KeyPair
	public string
}

func newSeat(t *testing.T) seat {
	t.Helper()
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := user.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return seat{user, public}
}

func (s seat) connect(t *testing.T, p *plane, grant Grant) (*nats.Conn, error) {
	t.Helper()
	conn, err := nats.Connect(p.url(), nats.UserJWT(func() (string, error) { return grant.JWT, nil }, s.user.Sign),
		nats.NoReconnect(), nats.CustomInboxPrefix("_INBOX."+grant.Fleet+"."+grant.Vehicle))
	if err == nil {
		t.Cleanup(conn.Close)
	}
	return conn, err
}

func request(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"router.example"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: text}))
}

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

// enrolled is a car that is connected.
func (p *plane) enrolled(t *testing.T) (seat, Grant, *nats.Conn, string) {
	t.Helper()
	token, car := p.token(t, "f", time.Hour), newSeat(t)
	grant, status := p.post(t, "/v1/enroll", token, Enrolment{V: 1, Fleet: "f", ID: realID, PublicKey: car.public})
	if status != http.StatusOK {
		t.Fatalf("%d %+v", status, grant)
	}
	conn, err := car.connect(t, p, grant)
	if err != nil {
		t.Fatal(err)
	}
	return car, grant, conn, token
}

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

// grep names the files below a directory that hold a text.
func grep(t *testing.T, dir, text string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil // a file that the server has just removed
		}
		if content, err := os.ReadFile(path); err == nil && bytes.Contains(content, []byte(text)) || strings.Contains(path, text) {
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestAForgottenCarLeavesNothingBehind(t *testing.T) {
	p := startPlane(t)
	car, grant, conn, token := p.enrolled(t)
	js, err := jetstream.New(p.admin.Conn)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: fleet.Stream, Subjects: []string{"parkade.v1.*.*.hello", "parkade.v1.*.*.state"}, MaxMsgsPerSubject: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	receipts, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "RECEIPTS", Subjects: []string{"parkade.v1.*.*.receipt"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"hello", "state", "state", "state", "receipt", "receipt"} {
		text := fmt.Sprintf(`{"v":1,"vehicle":%q}`, grant.Vehicle)
		if err := conn.Publish("parkade.v1.f."+grant.Vehicle+"."+kind, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.Publish(t.Context(), "parkade.v1.f.v-other.state", []byte("stays")); err != nil {
		t.Fatal(err)
	}
	messages := func() (n uint64) {
		for _, s := range []jetstream.Stream{stream, receipts} {
			info, err := s.Info(t.Context(), jetstream.WithSubjectFilter("parkade.v1.f."+grant.Vehicle+".>"))
			if err != nil {
				t.Fatal(err)
			}
			for _, count := range info.State.Subjects {
				n += count
			}
		}
		return n
	}
	if err := conn.Flush(); err != nil || messages() != 4 {
		t.Fatalf("%d messages, %v", messages(), err)
	}
	entry, err := p.admin.Find(t.Context(), "f", realID, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.admin.Forget(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	p.awaitEvent(t, "forgotten "+grant.Vehicle)
	if n := messages(); n != 0 {
		t.Errorf("%d messages are left", n)
	}
	if info, err := stream.Info(t.Context()); err != nil || info.State.Msgs != 1 {
		t.Errorf("another car's words are gone too: %+v %v", info.State, err)
	}
	if _, err := p.admin.Find(t.Context(), "f", realID, ""); !errors.Is(err, errNotEnrolled) {
		t.Errorf("the roll knows it: %v", err)
	}
	roll, err := js.Stream(t.Context(), "KV_"+Bucket)
	if err != nil {
		t.Fatal(err)
	}
	for sequence := uint64(1); ; sequence++ { // whatever is left of the roll, markers included
		msg, err := roll.GetMsg(t.Context(), sequence)
		if err == nil && bytes.Contains(msg.Data, []byte(grant.Vehicle)) {
			t.Errorf("the roll holds %s %s", msg.Subject, msg.Data)
		}
		if info, _ := roll.Info(t.Context()); sequence >= info.State.LastSeq {
			break
		}
	}
	if _, err := car.connect(t, p, grant); err == nil {
		t.Error("its credentials are good")
	}
	for _, text := range []string{grant.Vehicle, realID} {
		if found := grep(t, filepath.Dir(p.options.Dir), text); len(found) > 0 {
			t.Errorf("%s is in %v", text, found)
		}
		if strings.Contains(p.log.String(), text) {
			t.Errorf("the log holds %s:\n%s", text, p.log)
		}
	}
	again, status := p.post(t, "/v1/enroll", token, Enrolment{V: 1, Fleet: "f", ID: realID, PublicKey: car.public})
	if status != http.StatusOK || again.Vehicle == grant.Vehicle {
		t.Errorf("enrolled again: %d %+v", status, again)
	}
}
