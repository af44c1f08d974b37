package drive_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"parkade.dev/carlet/drive"
)

func TestAServerThatTurnsMostAwayHasAllBackInTime(t *testing.T) {
	r := newThrottledRig(t, 10, func(o *drive.Options) { o.Dials = vehicles })
	began := time.Now()
	r.reports(t, "all connect", func(report drive.Report) bool { return report.Connected == vehicles })
	report := r.driver.Report()
	if report.DialsFailed == 0 {
		t.Errorf("%d handshakes in %s, and nobody was turned away: %+v", vehicles, time.Since(began), report)
	}
	if report.Dials > 20*vehicles {
		t.Errorf("%d dials until %d vehicles were connected", report.Dials, vehicles)
	}
}

func TestADownloadThatIsTurnedAwayWaitsAsLongAsItIsAsked(t *testing.T) {
	store := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(store.Close)
	fetch := drive.NewFetch(&tls.Config{RootCAs: store.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}, true) //nolint:forcetypeassert // httptest's
	_, err := fetch(t.Context(), store.URL, digest)
	var turned *drive.TurnedAway
	if !errors.As(err, &turned) || turned.Wait != 7*time.Second {
		t.Fatalf("%v", err)
	}

	var asked atomic.Int64
	r := newRig(t, func(o *drive.Options) {
		o.Fetch = func(context.Context, string, string) (int64, error) {
			asked.Add(1)
			return 0, &drive.TurnedAway{Wait: time.Hour}
		}
	})
	r.hears(t, "all are heard", vehicles, eligible)
	r.tell(t, order)
	r.reports(t, "all fetch", func(drive.Report) bool { return asked.Load() >= vehicles })
	time.Sleep(3 * time.Second) // in which each would have asked again
	if after := asked.Load(); after > vehicles {
		t.Errorf("%d vehicles were asked to wait for an hour, and asked %d times", vehicles, after)
	}
}
