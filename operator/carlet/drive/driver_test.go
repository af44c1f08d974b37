package drive_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"parkade.dev/carlet/drive"
	"parkade.dev/carlet/fleet"
	"parkade.dev/carlet/internal/testplane"
	"parkade.dev/carlet/witness"
)

const (
	vehicles = 40
	workload = "vision/sign-reader"
	digest   = "3f79bb7b435b05321651daefd374cdc681dc06faa65e374e38337b88ca046dea"
)

// rig is a fleet link with carlet's own end of it, and a driver.
type rig struct {
	registry *fleet.Registry
	link     *fleet.Link
	driver   *drive.Driver
	outcomes chan fleet.Outcome
}

func newRig(t *testing.T, change func(*drive.Options)) *rig {
	t.Helper()
	return newThrottledRig(t, 0, change)
}

// newThrottledRig has a server that begins so many handshakes a second.
func newThrottledRig(t *testing.T, rate int, change func(*drive.Options)) *rig {
	t.Helper()
	dir, port := t.TempDir(), testplane.FreePort(t)
	authority := testplane.NewAuthority(t, dir)
	server := authority.Issue(t, "nats", "")
	keys, err := fleet.InitKeys(fleet.KeysOptions{
		Dir: filepath.Join(dir, "fleet"), Host: "127.0.0.1", Port: port, JetStreamDir: filepath.Join(dir, "jetstream"),
		TLSCert: server.Cert, TLSKey: server.Key, CA: authority.File, ConnectRate: rate,
	})
	if err != nil {
		t.Fatal(err)
	}
	testplane.StartNATS(t, filepath.Join(dir, "fleet", fleet.ServerConfigFile), port)
	ctx, cancel := context.WithCancel(t.Context())
	url := fmt.Sprintf("tls://127.0.0.1:%d", port)
	r := &rig{registry: fleet.NewRegistry(), outcomes: make(chan fleet.Outcome, 10_000)}
	r.link, err = fleet.Dial(ctx, r.registry, fleet.LinkOptions{
		URL: url, Credentials: filepath.Join(dir, "fleet", fleet.CarletCredentialsFile), CA: authority.File,
		Count: func(_ fleet.Kind, outcome fleet.Outcome) { r.outcomes <- outcome },
		Wake:  func() {}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	options := drive.Options{
		Servers: []string{url}, TLS: authority.Trusting(), Fleet: "driven", Prefix: "v-", Vehicles: vehicles,
		Hardware: "hw4", Memory: 8 << 30, Slots: 1, Charge: 80, Links: []drive.Share{{Link: "WiFi", Fraction: 1}},
		Beat: time.Second, Dials: 8, Rate: 1e9, Load: 10 * time.Millisecond, Drain: 10 * time.Millisecond, Staying: 300 * time.Millisecond,
		Enroll: func(key fleet.Key) ([]byte, error) { return keys.Enroll(key, time.Hour, time.Now()) },
	}
	options.Tell = r.hearWitnesses(t, ctx, keys, url, filepath.Join(dir, "fleet", fleet.CarletCredentialsFile), authority.File)
	change(&options)
	if r.driver, err = drive.New(options); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		r.driver.Run(ctx)
		close(done)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	r.driver.AwaitStart()
	return r
}

// hearWitnesses is carlet's ear for them, and what they speak through.
func (r *rig) hearWitnesses(t *testing.T, ctx context.Context, keys *fleet.Keys, url, credentials, ca string) map[fleet.Source]drive.Tell { //nolint:revive // t is first in helpers
	t.Helper()
	listener := &witness.Listener{
		Registry: r.registry, Now: time.Now, Wake: func() {}, Log: slog.New(slog.DiscardHandler),
		Count: func(_ string, outcome fleet.Outcome) { r.outcomes <- outcome },
	}
	if err := listener.Listen(ctx, url, credentials, ca); err != nil {
		t.Fatal(err)
	}
	tell := map[fleet.Source]drive.Tell{}
	for _, source := range []fleet.Source{fleet.Maker, fleet.Charger} {
		secret, _, err := keys.EnrollWitness("driven", source, false, time.Hour, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		tell[source] = testplane.Connect(t, url, nats.UserCredentialBytes(secret), nats.RootCAs(ca)).Publish
	}
	return tell
}

// tell answers every vehicle that carlet knows with the same order.
func (r *rig) tell(t *testing.T, assignments ...fleet.Assignment) {
	t.Helper()
	for _, v := range r.registry.Vehicles() {
		if err := r.link.Send(v.Key, fleet.NewDesired("cell-0", fleet.Terms{}, assignments)); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *rig) order(t *testing.T, command string) {
	t.Helper()
	if err := r.driver.Obey(strings.NewReader(command+"\n"), t.Output()); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) reports(t *testing.T, what string, holds func(drive.Report) bool) {
	t.Helper()
	testplane.Eventually(t, what, func() error {
		if report := r.driver.Report(); !holds(report) {
			return fmt.Errorf("%+v", report)
		}
		return nil
	})
}

// hears waits until carlet's registry has all vehicles as wanted.
func (r *rig) hears(t *testing.T, what string, count int, as func(*fleet.Vehicle) bool) {
	t.Helper()
	testplane.Eventually(t, what, func() error {
		found := 0
		for _, v := range r.registry.Vehicles() {
			if v.HasHello && v.HasState && as(v) {
				found++
			}
		}
		if found != count {
			return fmt.Errorf("%d of %d", found, count)
		}
		return nil
	})
}

func ready(v *fleet.Vehicle) bool {
	return len(v.State.Assignments) == 1 && v.State.Assignments[0].Phase == fleet.PhaseReady
}

func eligible(v *fleet.Vehicle) bool { return v.Eligible() }

// order is one that every vehicle can take.
var order = fleet.Assignment{
	Workload: workload, Model: "sign-reader", Digest: digest, Bytes: 1000, Format: "onnx", Memory: 1 << 30, URL: "https://models.example/x",
}

func (r *rig) start(t *testing.T) {
	t.Helper()
	r.hears(t, "all are heard", vehicles, eligible)
	r.tell(t, order)
	told := time.Now()
	r.hears(t, "all are ready", vehicles, func(v *fleet.Vehicle) bool {
		if time.Since(told) > 5*time.Second { // nobody here answers the hello of a car that dialled anew after a stall
			r.tell(t, order)
			told = time.Now()
		}
		return ready(v)
	})
}

func TestCarletUnderstandsEveryMessage(t *testing.T) {
	r := newRig(t, func(*drive.Options) {})
	r.start(t)
	r.reports(t, "beats", func(report drive.Report) bool { return report.Beats >= vehicles })
	for len(r.outcomes) > 0 {
		if outcome := <-r.outcomes; outcome != fleet.Accepted {
			t.Errorf("a message was %s", outcome)
		}
	}
	for _, v := range r.registry.Vehicles() {
		if v.Hello.Cell != "cell-0" || len(v.Hello.Models) != 1 || v.State.Desired == "" {
			t.Fatalf("%+v", v)
		}
	}
}

func TestLostLinksComeBackWithWhatTheyHeld(t *testing.T) {
	r := newRig(t, func(*drive.Options) {})
	r.start(t)
	before := r.driver.Report()
	r.order(t, `{"do": "lose", "fraction": 0.5, "for": 0.2, "jitter": 0}`)
	r.reports(t, "links are lost", func(report drive.Report) bool { return report.Connected < vehicles })
	r.reports(t, "links are back", func(report drive.Report) bool { return report.Connected == vehicles })
	report := r.driver.Report()
	lost := report.Dials - before.Dials
	if lost < vehicles/4 || report.Resumed != lost {
		t.Errorf("%d were lost, %d resumed their TLS session", lost, report.Resumed)
	}
	r.reports(t, "hellos are repeated", func(after drive.Report) bool { return after.Hellos >= before.Hellos+lost })
	r.tell(t) // nothing
	r.reports(t, "orders unload", func(after drive.Report) bool { return after.UnloadsByOrder == vehicles && after.Ready == 0 })
	if report.Ready != vehicles || report.Loads != vehicles || report.UnloadsByOrder != 0 {
		t.Errorf("the loss of a link changed what is loaded: %+v", report)
	}
	if got := r.driver.Report().Reloads; got != 0 {
		t.Errorf("%d reloads", got)
	}
}

func TestLinksAreLostForAsLongAsTheirTraceStretched(t *testing.T) {
	r := newRig(t, func(o *drive.Options) {
		o.Links = []drive.Share{{Link: "Cellular", Fraction: 0.8}, {Link: "Starlink", Fraction: 0.2}}
	})
	r.hears(t, "all are heard", vehicles, func(v *fleet.Vehicle) bool { return v.Heard })
	// Outages of the traces last 1 to 81 s: half of the cellular ones 12 s and longer.
	before := r.driver.Report()
	r.order(t, `{"do": "lose", "stretch": 0.1, "least": 0.3, "most": 3, "jitter": 0}`)
	lost := r.driver.Report()
	if lost.Losses != vehicles || lost.LostSeconds < 0.4*vehicles || lost.LostSeconds > 2.5*vehicles {
		t.Errorf("%d links lost for %.1f s in all", lost.Losses, lost.LostSeconds)
	}
	r.reports(t, "all have dialled again", func(now drive.Report) bool {
		return now.Connected == vehicles && now.Dials >= before.Dials+vehicles
	})
	if longest := r.driver.Report().LastConnected - before.Seconds; longest < 3 {
		t.Errorf("all are back after %.1f s", longest)
	}
	r.order(t, `{"do": "vanish"}`)
	r.order(t, `{"do": "lose", "for": 5}`)
	if again := r.driver.Report(); again.Losses != lost.Losses {
		t.Errorf("%d losses of vehicles that are not there", again.Losses-lost.Losses)
	}
}

func TestDeparturesAreAnnouncedAndVanishingIsNot(t *testing.T) {
	r := newRig(t, func(*drive.Options) {})
	r.start(t)
	r.order(t, `{"do": "depart", "fraction": 0.5, "for": 0.5}`)
	leaving := int(r.driver.Report().Departures)
	if leaving < vehicles/4 || leaving > 3*vehicles/4 {
		t.Fatalf("%d of %d depart", leaving, vehicles)
	}
	r.hears(t, "departures are announced, and drained", leaving, func(v *fleet.Vehicle) bool {
		return v.State.Leaving && !v.Eligible() && v.State.Reason == "Leaving" && len(v.State.Assignments) == 0
	})
	r.reports(t, "they drive off", func(report drive.Report) bool { return int(report.Connected) == vehicles-leaving })
	r.order(t, `{"do": "vanish"}`)
	r.reports(t, "nobody is left", func(report drive.Report) bool { return report.Connected == 0 })
	r.hears(t, "vanishing is silent", vehicles-leaving, ready)
	r.order(t, `{"do": "arrive"}`)
	r.hears(t, "all are back", vehicles, func(v *fleet.Vehicle) bool { return v.Eligible() && ready(v) })
	if got := r.driver.Report(); int(got.Reloads) != leaving {
		t.Errorf("%d departed, %d loaded again", leaving, got.Reloads)
	}
}

// standings counts the vehicles by how carlet judges them, in a pool that keeps the replicas of silent ones for a second.
func (r *rig) standings() map[fleet.Standing]int {
	counts := map[fleet.Standing]int{}
	for _, v := range r.registry.Vehicles() {
		counts[fleet.Judge(time.Now(), v.Testimony(), time.Second).Standing]++
	}
	return counts
}

func TestWitnessesTellALostLinkFromADeparture(t *testing.T) {
	r := newRig(t, func(o *drive.Options) {
		o.Chargers, o.Telemetry, o.Sighting = 0.8, 0.5, 200*time.Millisecond
		o.Links = []drive.Share{{Link: "WiFi", Fraction: 0.5}, {Link: "Cellular", Fraction: 0.5}}
	})
	r.hears(t, "all are here", vehicles, func(v *fleet.Vehicle) bool { return v.Heard })
	r.order(t, `{"do":"lose","for":60}`)
	var silent int
	testplane.Eventually(t, "those that nobody sees are gone, and no others", func() error {
		counts := r.standings()
		silent = counts[fleet.Standing{Presence: fleet.Silent, By: fleet.ByCharger}] + counts[fleet.Standing{Presence: fleet.Silent, By: fleet.ByMaker}]
		if gone := counts[fleet.Standing{Presence: fleet.Gone, By: fleet.ByNobody}]; gone == 0 || silent < vehicles/2 || gone+silent != vehicles {
			return fmt.Errorf("%v", counts)
		}
		return nil
	})
	r.order(t, `{"do":"vanish"}`)
	testplane.Eventually(t, "all are gone, most of them seen leaving", func() error {
		counts := r.standings()
		seen := counts[fleet.Standing{Presence: fleet.Gone, By: fleet.ByCharger}] + counts[fleet.Standing{Presence: fleet.Gone, By: fleet.ByMaker}]
		if seen < silent || seen+counts[fleet.Standing{Presence: fleet.Gone, By: fleet.ByNobody}] != vehicles {
			return fmt.Errorf("%v, and %d were silent before", counts, silent)
		}
		return nil
	})
	r.reports(t, "the driver says so", func(report drive.Report) bool { return report.Away == vehicles && report.Sightings > vehicles })
}

func TestCarsRefuseWhatTheirContractForbids(t *testing.T) {
	r := newRig(t, func(o *drive.Options) { o.Links = []drive.Share{{Link: "Cellular", Fraction: 1}} })
	r.hears(t, "nobody is eligible", vehicles, func(v *fleet.Vehicle) bool { return v.State.Reason == "LinkNotAllowed" })
	for _, v := range r.registry.Vehicles() {
		desired := fleet.NewDesired("cell-0", fleet.Terms{Contract: []byte(`{"links":["Cellular"],"requirePluggedIn":true}`)}, nil)
		if err := r.link.Send(v.Key, desired); err != nil {
			t.Fatal(err)
		}
	}
	r.hears(t, "the pool allows it", vehicles, func(v *fleet.Vehicle) bool { return v.Eligible() })
}

func TestCarsOfRealSessionsSayWhenTheyWillLeave(t *testing.T) {
	r := newRig(t, func(o *drive.Options) { o.Speed, o.WeekStart = 6, 36*time.Hour }) // a Tuesday's noon
	testplane.Eventually(t, "those at their plugs have a forecast", func() error {
		plugged, told, sum := 0, 0, 0.0
		for _, v := range r.registry.Vehicles() {
			switch forecast := v.State.LeavingWithin; {
			case !v.Eligible() && forecast != nil:
				t.Fatalf("a car that is not eligible has a forecast: %+v", v.State)
			case v.Eligible() && forecast != nil:
				told++
				sum += forecast[2]
				for i, percent := range forecast {
					if math.Mod(percent, fleet.LeavingStep) != 0 || i > 0 && percent < forecast[i-1] {
						t.Fatalf("%v", forecast)
					}
				}
			}
			if v.Eligible() {
				plugged++
			}
		}
		if plugged < 4 || told != plugged || sum == 0 {
			return fmt.Errorf("%d are plugged in, %d have a forecast, %g %% leave in an hour", plugged, told, sum)
		}
		return nil
	})
	r.order(t, `{"do": "depart", "for": 60}`)
	testplane.Eventually(t, "who announces has none", func() error {
		for _, v := range r.registry.Vehicles() {
			if v.State.LeavingWithin != nil {
				return fmt.Errorf("%+v", v.State)
			}
		}
		return nil
	})
	r.order(t, `{"do": "arrive"}`)
	testplane.Eventually(t, "and has one again when back", func() error {
		for _, v := range r.registry.Vehicles() {
			if v.Eligible() && v.State.LeavingWithin != nil {
				return nil
			}
		}
		return errors.New("nobody")
	})
}

func TestALineThatIsNoCommandIsAnswered(t *testing.T) {
	r := newRig(t, func(o *drive.Options) { o.Vehicles = 1 })
	var out strings.Builder
	if err := r.driver.Obey(strings.NewReader("{\"do\": \"explode\"}\n{\"do\": \"report\"}\n"), &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "write lose, vanish, depart, arrive or report") || !strings.Contains(out.String(), `"vehicles":1`) {
		t.Error(out.String())
	}
}
