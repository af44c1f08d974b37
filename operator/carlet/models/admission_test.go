package models

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"parkade.dev/carlet/internal/testplane"
)

// stalled asks for a large model and reads none of it.
func stalled(t *testing.T, address, path string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: models\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
	return conn
}

// storing serves a large model with a gate of its own; ended is told of each request that is over.
func storing(t *testing.T, change func(*Server)) (f *fixture, path string, ended chan struct{}) {
	t.Helper()
	f, dir := serve(t), t.TempDir()
	large := filepath.Join(dir, "sha256", digest)
	if err := os.MkdirAll(filepath.Dir(large), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(large, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, 64<<20); err != nil { // more than sockets hold
		t.Fatal(err)
	}
	server := &Server{Store: NewStore(dir), Signer: f.signer, Now: func() time.Time { return now }, Sent: func(int) {}}
	change(server)
	mux := http.NewServeMux()
	server.Register(mux)
	ended = make(chan struct{}, 1000)
	f.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r)
		ended <- struct{}{}
	}))
	t.Cleanup(f.server.Close)
	return f, f.path(digest, now), ended
}

func TestABoundedNumberFetchesAtATime(t *testing.T) {
	var turnedAway atomic.Int64
	f, path, _ := storing(t, func(s *Server) { s.Gate, s.TurnedAway = NewGate(2), func() { turnedAway.Add(1) } })
	first := stalled(t, f.server.Listener.Addr().String(), path)
	second := stalled(t, f.server.Listener.Addr().String(), path)
	testplane.Eventually(t, "a third is told when to ask again", func() error {
		status, header, _ := f.get(t, http.MethodHead, path, nil)
		if seconds, err := strconv.Atoi(header.Get("Retry-After")); status != http.StatusServiceUnavailable || err != nil || seconds < 5 {
			return fmt.Errorf("answered %d, Retry-After %q", status, header.Get("Retry-After"))
		}
		return nil
	})
	if turnedAway.Load() == 0 {
		t.Error("nobody was counted as turned away")
	}
	_, _ = first.Close(), second.Close()
	testplane.Eventually(t, "a place that was left is given away", func() error {
		if status, _, _ := f.get(t, http.MethodHead, path, nil); status != http.StatusOK {
			return fmt.Errorf("answered %d", status)
		}
		return nil
	})
}

func TestWhoReadsNothingLosesItsPlace(t *testing.T) {
	f, path, ended := storing(t, func(s *Server) { s.Stall = 100 * time.Millisecond })
	stalled(t, f.server.Listener.Addr().String(), path)
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("its request goes on")
	}
}
