package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"parkade.dev/carlet/internal/testplane"
)

// startServer makes keys and starts a real nats-server on them.
func startServer(t *testing.T) (*Keys, KeysOptions, *testplane.Process) {
	t.Helper()
	dir := t.TempDir()
	options := KeysOptions{
		Dir: filepath.Join(dir, "fleet"), Host: "127.0.0.1", Port: testplane.FreePort(t), JetStreamDir: filepath.Join(dir, "jetstream"),
	}
	keys, err := InitKeys(options)
	if err != nil {
		t.Fatal(err)
	}
	return keys, options, testplane.StartNATS(t, filepath.Join(options.Dir, ServerConfigFile), options.Port)
}

// vehicleConn connects as a vehicle with its own credentials.
func vehicleConn(t *testing.T, keys *Keys, port int, key Key, refused func(error)) *nats.Conn {
	t.Helper()
	credentials, err := keys.Enroll(key, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return testplane.Connect(t, testplane.NATSURL(port), nats.UserCredentialBytes(credentials),
		nats.CustomInboxPrefix("_INBOX."+key.Fleet+"."+key.Vehicle), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
		testplane.OnError(refused))
}

func TestKeysAreKeptAndPrivate(t *testing.T) {
	_, options, _ := startServer(t)
	read := func() map[string]string {
		content := map[string]string{}
		entries, err := os.ReadDir(options.Dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			info, err := entry.Info()
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v, %v", entry.Name(), info.Mode(), err)
			}
			text, err := os.ReadFile(filepath.Join(options.Dir, entry.Name()))
			if err != nil {
				t.Fatal(err)
			}
			content[entry.Name()] = string(text)
		}
		return content
	}
	before := read()
	if _, err := InitKeys(options); err != nil {
		t.Fatal(err)
	}
	after := read()
	for name := range before {
		if after[name] != before[name] {
			t.Errorf("%s changed", name)
		}
	}
	if len(after) != len(before) || len(after) != 13 {
		t.Errorf("%d files, then %d", len(before), len(after))
	}
	if _, err := OpenKeys(t.TempDir()); err == nil || !strings.Contains(err.Error(), "fleet init") {
		t.Errorf("an empty directory opens: %v", err)
	}
}

func TestEnrollRefusesWhatIsNoSubjectToken(t *testing.T) {
	keys, err := InitKeys(KeysOptions{Dir: t.TempDir(), JetStreamDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []Key{{"f", "*"}, {"f", ">"}, {"f.g", "v"}, {"F", "v"}, {"f", ""}, {"f", "v.x"}, {"f", "{{name()}}"}} {
		if _, err := keys.Enroll(key, time.Hour, time.Now()); err == nil {
			t.Errorf("%v was enrolled", key)
		}
	}
	if _, err := keys.Enroll(Key{"f", "v"}, 0, time.Now()); err == nil {
		t.Error("credentials without a life were signed")
	}
}

func TestExpiredCredentialsDoNotConnect(t *testing.T) {
	keys, options, _ := startServer(t)
	credentials, err := keys.Enroll(Key{"f", "v"}, time.Minute, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := nats.Connect(testplane.NATSURL(options.Port), nats.UserCredentialBytes(credentials)); err == nil {
		conn.Close()
		t.Error("connected with expired credentials")
	}
}

// ear is a registry behind a link, with counts.
type ear struct {
	*Link
	registry *Registry
	mu       sync.Mutex
	counts   map[Outcome]int
}

func dialEar(t *testing.T, options KeysOptions) *ear {
	t.Helper()
	e := &ear{registry: NewRegistry(), counts: map[Outcome]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	link, err := Dial(ctx, e.registry, LinkOptions{
		URL: testplane.NATSURL(options.Port), Credentials: filepath.Join(options.Dir, CarletCredentialsFile),
		Count: func(_ Kind, outcome Outcome) { e.mu.Lock(); e.counts[outcome]++; e.mu.Unlock() },
		Wake:  func() {}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	e.Link = link
	testplane.Eventually(t, "the link is ready", func() error {
		if !link.Ready() {
			return errors.New("not replayed")
		}
		return nil
	})
	return e
}

func (e *ear) await(t *testing.T, what string, holds func(map[string]Vehicle) bool) {
	t.Helper()
	testplane.Eventually(t, what, func() error {
		vehicles := map[string]Vehicle{}
		for _, v := range e.registry.Vehicles() {
			vehicles[v.Key.Vehicle] = *v
		}
		if !holds(vehicles) {
			text, _ := json.Marshal(vehicles)
			return errors.New(string(text))
		}
		return nil
	})
}

func TestTheLinkRemembersAcrossRestartsOfBothEnds(t *testing.T) {
	keys, options, server := startServer(t)
	first := dialEar(t, options)
	conn := vehicleConn(t, keys, options.Port, Key{"f", "v-1"}, func(err error) { t.Log(err) })
	say := func(kind, text string) {
		if err := errors.Join(conn.Publish("parkade.v1.f.v-1."+kind, []byte(text)), conn.FlushTimeout(5*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	say("hello", `{"v":1,"fleet":"f","vehicle":"v-1","hardware":"hw4"}`)
	say("state", `{"v":1,"present":true,"rttMillis":1}`)
	say("state", `{"v":1,"present":true,"rttMillis":2}`)
	first.await(t, "hello and state arrive", func(v map[string]Vehicle) bool { return v["v-1"].HasHello && v["v-1"].State.RTTMillis == 2 })
	say("state", `garbage`) // the stream keeps the last word alone, so only now
	say("beat", `{"v":9}`)
	testplane.Eventually(t, "refusals are counted", func() error {
		first.mu.Lock()
		defer first.mu.Unlock()
		if first.counts[Garbage] != 1 || first.counts[UnknownVersion] != 1 || first.counts[Accepted] < 2 {
			return errors.New("counts differ")
		}
		return nil
	})
	say("state", `{"v":1,"present":true,"rttMillis":3}`)

	second := dialEar(t, options)
	second.await(t, "a second carlet knows the last words", func(v map[string]Vehicle) bool {
		return v["v-1"].HasHello && v["v-1"].State.RTTMillis == 3 && !v["v-1"].Heard
	})

	server.Kill(t)
	testplane.Eventually(t, "the loss is noticed", func() error {
		if until := first.HeardUntil(time.Now().Add(time.Hour)); first.Connected() || until.After(time.Now()) {
			return errors.New("still connected, or silence counts while the link is down")
		}
		return nil
	})
	testplane.StartNATS(t, filepath.Join(options.Dir, ServerConfigFile), options.Port)
	// The vehicle is back first, and speaks before carlet can hear it.
	testplane.Eventually(t, "the vehicle is back", func() error {
		if !conn.IsConnected() {
			return errors.New("not connected")
		}
		return nil
	})
	say("state", `{"v":1,"present":true,"rttMillis":4}`)
	first.await(t, "what was said while carlet was away is heard", func(v map[string]Vehicle) bool { return v["v-1"].State.RTTMillis == 4 })
	third := dialEar(t, options)
	third.await(t, "the stream survived", func(v map[string]Vehicle) bool { return v["v-1"].HasHello })
}
