package witness

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"parkade.dev/carlet/fleet"
	"parkade.dev/carlet/identity"
	"parkade.dev/carlet/internal/testplane"
)

const vin, otherVIN = "5YJ3E1EA7KF317000", "5YJ3E1EA7KF317001"

// plane is a real nats-server with an MQTT listener, an office whose roll has a car, and a listener.
type plane struct {
	options  fleet.KeysOptions
	keys     *fleet.Keys
	admin    *identity.Admin
	office   *identity.Office
	registry *fleet.Registry
	car      identity.Entry

	mu     sync.Mutex
	counts map[string]int
	log    strings.Builder
}

func (p *plane) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(line)
}

func startPlane(t *testing.T) *plane {
	t.Helper()
	dir := t.TempDir()
	p := &plane{registry: fleet.NewRegistry(), counts: map[string]int{}, options: fleet.KeysOptions{
		Dir: filepath.Join(dir, "fleet"), Host: "127.0.0.1", JetStreamDir: filepath.Join(dir, "jetstream"),
		Port: testplane.FreePort(t),
	}}
	for p.options.MQTTPort = testplane.FreePort(t); p.options.MQTTPort == p.options.Port; {
		p.options.MQTTPort = testplane.FreePort(t)
	}
	var err error
	if p.keys, err = fleet.InitKeys(p.options); err != nil {
		t.Fatal(err)
	}
	testplane.StartNATS(t, p.file(fleet.ServerConfigFile), p.options.Port)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	if p.admin, err = identity.OpenAdmin(ctx, p.options.Dir, p.file(fleet.CarletCredentialsFile), p.url(), ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.admin.Close)
	log, nobody := slog.New(slog.NewTextHandler(p, nil)), func(fleet.Key) {}
	p.office = &identity.Office{
		Issuer: p.keys.Issuer, Life: time.Hour, Log: log, Now: time.Now,
		Revoked: p.registry.Revoke, Readmitted: nobody, Forgotten: p.registry.Forget, Count: func(string, identity.Reason) {},
	}
	listener := &Listener{Registry: p.registry, Find: p.office.Find, Now: time.Now, Log: log, Wake: func() {}, Count: p.count}
	err = errors.Join(
		p.office.Open(ctx, p.url(), p.file(fleet.CarletCredentialsFile), ""),
		listener.Listen(ctx, p.url(), p.file(fleet.CarletCredentialsFile), ""),
	)
	if err != nil {
		t.Fatal(err)
	}
	p.car = identity.Entry{Fleet: "f", Index: p.keys.Index("f", vin), Car: identity.Car{
		Vehicle: p.keys.Pseudonym("f", vin, []byte("salt")), PublicKey: "U",
	}}
	if err := p.admin.Roll.Save(ctx, p.car); err != nil {
		t.Fatal(err)
	}
	hello := fmt.Appendf(nil, `{"v":1,"fleet":"f","vehicle":%q}`, p.car.Vehicle)
	p.registry.Hear(fleet.Subject(p.car.Key(), fleet.KindHello), hello, time.Now().Add(-time.Minute/2), false)
	testplane.Eventually(t, "the roll is read", func() error {
		if key, found := p.office.Find("f", vin); !found || key != p.car.Key() {
			return errors.New("the car is not found")
		}
		return nil
	})
	return p
}

func (p *plane) file(name string) string { return filepath.Join(p.options.Dir, name) }
func (p *plane) url() string             { return testplane.NATSURL(p.options.Port) }

func (p *plane) count(source string, outcome fleet.Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[source+" "+string(outcome)]++
}

func (p *plane) await(t *testing.T, counted string, number int) {
	t.Helper()
	testplane.Eventually(t, fmt.Sprintf("%d x %s", number, counted), func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.counts[counted] < number {
			return fmt.Errorf("%v", p.counts)
		}
		return nil
	})
}

func (p *plane) standing() fleet.Standing {
	v := p.registry.Vehicles()[0]
	return fleet.Judge(time.Now(), v.Testimony(), 5*time.Minute).Standing
}

func (p *plane) credentials(t *testing.T, source fleet.Source, mqtt bool, life time.Duration) (secret []byte, public string) {
	t.Helper()
	secret, public, err := p.keys.EnrollWitness("f", source, mqtt, life, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return secret, public
}

// conn is an adapter's connection over NATS.
func (p *plane) conn(t *testing.T, source fleet.Source, refused func(error)) *nats.Conn {
	t.Helper()
	secret, _ := p.credentials(t, source, false, time.Hour)
	return testplane.Connect(t, p.url(), nats.UserCredentialBytes(secret), testplane.OnError(refused))
}

func (p *plane) mqttClient(password string) (mqtt.Client, error) {
	options := mqtt.NewClientOptions().AddBroker(fmt.Sprintf("tcp://127.0.0.1:%d", p.options.MQTTPort)).SetClientID("fleet-telemetry").
		SetUsername("witness").SetPassword(password).SetConnectTimeout(5 * time.Second).SetAutoReconnect(false)
	client := mqtt.NewClient(options)
	token := client.Connect()
	if !token.WaitTimeout(10 * time.Second) {
		return nil, errors.New("no answer")
	}
	return client, token.Error()
}

// TestAMakersTelemetryOverMQTT plays Tesla's dispatcher: one topic a signal, QoS 1.
func TestAMakersTelemetryOverMQTT(t *testing.T) {
	p := startPlane(t)
	secret, public := p.credentials(t, fleet.Maker, true, time.Hour)
	password := strings.TrimSpace(string(secret))
	client, err := p.mqttClient(password)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Disconnect(100)
	say := func(topic, text string) {
		t.Helper()
		if token := client.Publish(topic, 1, false, text); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
			t.Fatalf("%s: %v", topic, token.Error())
		}
	}
	const base = "parkade/witness/v1/f/maker/"
	say(base+vin+"/v/DetailedChargeState", `{"value":"DetailedChargeStateCharging"}`)
	p.await(t, "maker accepted", 1)
	if got := p.standing(); got != (fleet.Standing{Presence: fleet.Here, By: fleet.ByHeartbeat}) {
		t.Errorf("seen plugged in: %+v", got)
	}
	say(base+vin+"/v/Soc", `{"value":80.5}`)
	p.await(t, "maker says_nothing", 1)
	say(base+otherVIN+"/v/Gear", `{"value":"ShiftStateD"}`)
	p.await(t, "maker unknown_vehicle", 1)
	say("parkade/witness/v1/f/charger/home/TransactionEvent", `{}`) // not what it may say
	say("parkade/witness/v1/g/maker/"+vin+"/v/Gear", `"D"`)
	say("parkade/v1/f/"+p.car.Vehicle+"/beat", `{"v":1}`)
	say(base+vin+"/v/Gear", `{"value":"ShiftStateD"}`)
	p.await(t, "maker accepted", 2)
	if got := p.standing(); got != (fleet.Standing{Presence: fleet.Gone, By: fleet.ByMaker}) {
		t.Errorf("seen driving off: %+v", got)
	}
	p.mu.Lock()
	if len(p.counts) != 3 {
		t.Errorf("more was heard than it may say: %v", p.counts)
	}
	if strings.Contains(p.log.String(), vin) {
		t.Errorf("a real id is logged: %s", p.log.String())
	}
	p.mu.Unlock()
	p.nothingIsKept(t)

	for name, wrong := range map[string]string{"no password": "", "a password that is no token": "secret", "a token for NATS": natsToken(t, p)} {
		if other, err := p.mqttClient(wrong); err == nil {
			other.Disconnect(0)
			t.Errorf("%s lets an MQTT client in", name)
		}
	}
	if err := p.keys.RevokeWitness(public, p.url(), "", time.Now()); err != nil {
		t.Fatal(err)
	}
	testplane.Eventually(t, "a revoked witness is out", func() error {
		if client.IsConnectionOpen() {
			return errors.New("still connected")
		}
		return nil
	})
	if other, err := p.mqttClient(password); err == nil {
		other.Disconnect(0)
		t.Error("a revoked password lets a client in")
	}
}

// natsToken is the token in NATS credentials, without the key that must sign with it.
func natsToken(t *testing.T, p *plane) string {
	t.Helper()
	secret, _ := p.credentials(t, fleet.Maker, false, time.Hour)
	lines := strings.Split(string(secret), "\n")
	return lines[slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "ey") })]
}

// nothingIsKept looks into every stream: what witnesses said stands in none.
func (p *plane) nothingIsKept(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	js, err := jetstream.New(p.admin.Conn)
	if err != nil {
		t.Fatal(err)
	}
	streams := js.ListStreams(ctx)
	for info := range streams.Info() {
		if name := info.Config.Name; (name == "$MQTT_msgs" || name == "$MQTT_rmsgs" || name == "$MQTT_qos2in") && info.State.Msgs > 0 {
			t.Errorf("%s keeps %d messages", name, info.State.Msgs)
		}
	}
	if err := streams.Err(); err != nil {
		t.Fatal(err)
	}
}

func TestAWitnessSaysOnlyWhatItSawAndHearsNothing(t *testing.T) {
	p := startPlane(t)
	refused := testplane.NewRefusals(t)
	conn := p.conn(t, fleet.Charger, refused.Hear)
	const own = "parkade.witness.v1.f.charger.home.TransactionEvent"
	forbidden := []string{
		"parkade.witness.v1.f.maker." + vin + ".vss", "parkade.witness.v1.g.charger.home.TransactionEvent", "parkade.witness.v1.f.charger",
		fleet.Subject(p.car.Key(), fleet.KindBeat), fleet.Subject(p.car.Key(), fleet.KindHello), fleet.Subject(p.car.Key(), fleet.KindDesired),
		"$JS.API.INFO", "$KV.PARKADE_FLEET.car.f.x", "$SYS.REQ.SERVER.PING", "_INBOX.x",
	}
	for _, subject := range forbidden {
		if err := conn.Publish(subject, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	heard := []string{">", own, "parkade.>", "_INBOX.>", fleet.Subject(p.car.Key(), fleet.KindBeat)}
	for _, subject := range heard {
		if _, err := conn.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	refused.Await(t, forbidden, heard)
	if err := p.admin.Name(t.Context(), p.car, TokenName("card-1"), false); err != nil {
		t.Fatal(err)
	}
	testplane.Eventually(t, "the name is known", func() error {
		if key, found := p.office.Find("f", TokenName("CARD-1")); !found || key != p.car.Key() {
			return errors.New("not found")
		}
		return nil
	})
	if err := conn.Publish(own, event("Started", "Authorized", `,"chargingState":"EVConnected"`, `,"idToken":{"idToken":"CARD-1","type":"ISO14443"}`)); err != nil {
		t.Fatal(err)
	}
	p.await(t, "charger accepted", 1)
	if err := p.admin.Name(t.Context(), p.car, TokenName("card-1"), true); err != nil {
		t.Fatal(err)
	}
	testplane.Eventually(t, "the name is taken away", func() error {
		if _, found := p.office.Find("f", TokenName("CARD-1")); found {
			return errors.New("found")
		}
		return nil
	})
	for _, life := range []time.Duration{0, fleet.LongestWitnessLife + 1} {
		if _, _, err := p.keys.EnrollWitness("f", fleet.Maker, false, life, time.Now()); err == nil {
			t.Errorf("credentials for %s were signed", life)
		}
	}
	if _, _, err := p.keys.EnrollWitness("*", fleet.Maker, false, time.Hour, time.Now()); err == nil {
		t.Error("credentials for every fleet were signed")
	}
}
