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
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
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
