package drive

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"parkade.dev/carlet/fleet"
)

const needed, spare = "aa", "bb"

// parked is a vehicle without a connection, whose clock is the test's.
func parked(t *testing.T, change func(*Options)) *vehicle {
	t.Helper()
	options := Options{
		Servers: []string{"tls://127.0.0.1:1"}, Fleet: "driven", Prefix: "v-", Vehicles: 1, Memory: 8 << 30, Charge: 80,
		Links: []Share{{Link: "WiFi", Fraction: 1}}, Rate: 1000, Load: time.Second, Drain: time.Second,
	}
	change(&options)
	driver, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	driver.began, driver.stopped = time.Now(), t.Context()
	return driver.vehicles[0]
}

// told is an order of files of 10 s each, which are to be kept ready, or served as well.
func (v *vehicle) told(now moment, serve, ready []string) {
	v.desired = fleet.Desired{V: fleet.Version, Terms: v.desired.Terms}
	for _, digest := range serve {
		v.desired.Assignments = append(v.desired.Assignments, fleet.Assignment{
			Workload: "n/" + digest, Digest: digest, Bytes: 10_000, Format: "onnx", URL: "https://models.example/" + digest,
		})
	}
	for _, digest := range ready {
		v.desired.Stage = append(v.desired.Stage, fleet.Staged{Digest: digest, Bytes: 10_000, Format: "onnx", URL: "https://models.example/" + digest})
	}
	v.apply(now)
	v.forgetURLs()
}

// passes lets time pass until then, as the agenda does.
func (v *vehicle) passes(now moment) {
	if v.nextPhase() <= now {
		v.proceed(now)
		v.apply(now)
	}
}

func has(t *testing.T, v *vehicle, when string, digests ...string) {
	t.Helper()
	if !slices.Equal(v.models, digests) {
		t.Errorf("%s: it has %v, not %v", when, v.models, digests)
	}
}

func TestAFileThatIsReadyIsLoadedWithoutADownload(t *testing.T) {
	v := parked(t, func(*Options) {})
	v.told(0, nil, []string{spare})
	v.passes(9 * time.Second)
	has(t, v, "before it is there")
	v.passes(10 * time.Second)
	has(t, v, "when it is there", spare)
	if v.desired.Stage[0].URL != "" || len(v.held) != 0 {
		t.Errorf("%+v, holding %v", v.desired.Stage, v.held)
	}
	v.told(20*time.Second, []string{spare}, nil)
	v.passes(21 * time.Second)
	if len(v.held) != 1 || v.held[0].Phase != fleet.PhaseReady {
		t.Errorf("a second later: %+v", v.held)
	}
	if report := v.driver.Report(); report.Staged != 1 || report.Fetches != 0 {
		t.Errorf("%d came ahead, %d when needed", report.Staged, report.Fetches)
	}
}

func TestWhatIsAssignedComesFirstAndTheRestOfTheFileAfterIt(t *testing.T) {
	v := parked(t, func(*Options) {})
	v.told(0, nil, []string{spare})
	v.told(4*time.Second, []string{needed}, []string{spare})
	v.passes(13 * time.Second)
	has(t, v, "while what is assigned comes")
	v.passes(14 * time.Second)
	has(t, v, "after 10 s of it", needed)
	v.passes(19 * time.Second)
	v.passes(20 * time.Second)
	has(t, v, "after the other 6 s of the file", needed, spare)
}

func TestAFileThatIsOrderedWhileItComesGoesOnWhereItIs(t *testing.T) {
	v := parked(t, func(*Options) {})
	v.told(0, nil, []string{spare})
	v.told(8*time.Second, []string{spare}, nil)
	v.passes(10 * time.Second)
	has(t, v, "after 2 s more", spare)
}

func TestNothingIsFetchedAheadWhereItCostsOrMayNot(t *testing.T) {
	for _, link := range []string{"Starlink", "Cellular"} {
		v := parked(t, func(o *Options) { o.Links = []Share{{Link: link, Fraction: 1}} })
		v.desired.Contract = []byte(`{"links":["Starlink","Cellular"]}`)
		v.told(0, nil, []string{spare})
		v.passes(time.Minute)
		has(t, v, link)
	}
	v := parked(t, func(*Options) {})
	v.told(0, nil, []string{spare})
	v.leaving = true
	v.apply(5 * time.Second)
	v.passes(time.Minute)
	has(t, v, "a car that leaves")
	v.leaving = false
	v.apply(time.Minute)
	v.passes(65 * time.Second)
	has(t, v, "a car that stays", spare)
	v.told(70*time.Second, nil, []string{needed})
	v.told(71*time.Second, nil, nil)
	v.passes(2 * time.Minute)
	has(t, v, "what is no longer wanted", spare)
	v.desired.Stage = []fleet.Staged{{Digest: needed, Bytes: 1, Format: "plan", URL: "https://models.example/x"}, {Digest: needed, Bytes: 1, Format: "onnx"}}
	v.apply(3 * time.Minute)
	v.passes(4 * time.Minute)
	has(t, v, "another format, or no URL yet", spare)
}

// TestARealDownloadMakesWay is with a store that answers only what is assigned.
func TestARealDownloadMakesWay(t *testing.T) {
	begun := make(chan string, 10)
	v := parked(t, func(o *Options) {
		o.Fetch = func(ctx context.Context, url, _ string) (int64, error) {
			begun <- url
			if strings.HasSuffix(url, spare) {
				<-ctx.Done()
				return 5, ctx.Err()
			}
			return 10_000, nil
		}
	})
	order := func(serve, ready []string) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.told(v.driver.now(), serve, ready)
	}
	order(nil, []string{spare})
	if url := <-begun; !strings.HasSuffix(url, spare) {
		t.Fatal(url)
	}
	order([]string{needed}, []string{spare})
	if url := <-begun; !strings.HasSuffix(url, needed) {
		t.Fatal(url)
	}
	if url := <-begun; !strings.HasSuffix(url, spare) {
		t.Fatal(url)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	has(t, v, "beside the file that is asked for again", needed)
	if v.fetchWait != 0 {
		t.Errorf("it waits %s as after a failure", v.fetchWait)
	}
}
