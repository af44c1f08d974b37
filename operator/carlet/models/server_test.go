package models

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const digest = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

var now = time.Unix(1_800_000_000, 0)

type fixture struct {
	server *httptest.Server
	signer *Signer
	target *Server
	now    atomic.Int64
	sent   int
	body   []byte
}

func serve(t *testing.T) *fixture {
	t.Helper()
	dir := t.TempDir()
	f := &fixture{body: bytes.Repeat([]byte("0123456789"), 1000)}
	if err := os.MkdirAll(filepath.Join(dir, "sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sha256", digest), f.body, 0o644); err != nil {
		t.Fatal(err)
	}
	signer, err := OpenSigner(filepath.Join(dir, "url.key"), "models.test:1")
	if err != nil {
		t.Fatal(err)
	}
	server := &Server{Store: NewStore(dir), Signer: signer, Now: func() time.Time { return time.Unix(f.now.Load(), 0) }, Sent: func(n int) { f.sent += n }}
	mux := http.NewServeMux()
	server.Register(mux)
	f.now.Store(now.Unix())
	f.target, f.signer, f.server = server, signer, httptest.NewServer(mux)
	t.Cleanup(f.server.Close)
	return f
}

func (f *fixture) get(t *testing.T, method, path string, header http.Header) (int, http.Header, []byte) {
	t.Helper()
	request, err := http.NewRequest(method, f.server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, body
}

func (f *fixture) path(digest string, at time.Time) string {
	return strings.TrimPrefix(f.signer.URL(digest, at), "https://models.test:1")
}

func TestWholePartAndHead(t *testing.T) {
	f := serve(t)
	path := f.path(digest, now)
	if status, _, body := f.get(t, "GET", path, nil); status != 200 || !bytes.Equal(body, f.body) {
		t.Errorf("whole: %d, %d bytes", status, len(body))
	}
	header := http.Header{"Range": {"bytes=9990-"}, "If-Range": {`"` + digest + `"`}}
	if status, got, body := f.get(t, "GET", path, header); status != 206 || string(body) != "0123456789" || got.Get("Content-Range") != "bytes 9990-9999/10000" {
		t.Errorf("resumed: %d %q %s", status, body, got.Get("Content-Range"))
	}
	if status, got, body := f.get(t, "HEAD", path, nil); status != 200 || len(body) != 0 || got.Get("Content-Length") != "10000" {
		t.Errorf("head: %d %s", status, got.Get("Content-Length"))
	}
	f.server.Close() // waits for the handlers
	if want := len(f.body) + 10; f.sent != want {
		t.Errorf("%d bytes counted, want %d", f.sent, want)
	}
}

func TestRefusals(t *testing.T) {
	f := serve(t)
	good := f.path(digest, now)
	missing := strings.Repeat("b", 64)
	for _, c := range []struct {
		name, method, path string
		status             int
	}{
		{"good", "GET", good, 200},
		{"one second before it expires", "GET", f.path(digest, now.Add(time.Second-URLLife)), 200},
		{"expired", "GET", f.path(digest, now.Add(-URLLife)), 403},
		{"unsigned", "GET", "/models/" + digest, 403},
		{"another digest's signature", "GET", strings.Replace(good, digest, missing, 1), 403},
		{"a later expiry", "GET", strings.Replace(good, "expires=1", "expires=2", 1), 403},
		{"a signature that is no hex", "GET", good[:len(good)-1] + "z", 403},
		{"half a signature", "GET", good[:len(good)-32], 403},
		{"signed but not in the store", "GET", f.path(missing, now), 404},
		{"no directory listing", "GET", "/models/", 404},
		{"nothing else", "GET", "/", 404},
		{"no way up", "GET", "/models/..%2f..%2furl.key", 404},
		{"upper case", "GET", strings.Replace(good, digest, strings.ToUpper(digest), 1), 404},
		{"no writing", "PUT", good, 405},
	} {
		if status, _, _ := f.get(t, c.method, c.path, nil); status != c.status {
			t.Errorf("%s: %d, want %d", c.name, status, c.status)
		}
	}
}

func TestTheKeyIsKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "url.key")
	first, err := OpenSigner(file, "h:1")
	if err != nil {
		t.Fatal(err)
	}
	second, err := OpenSigner(file, "h:1")
	if err != nil || first.URL(digest, now) != second.URL(digest, now) {
		t.Errorf("a restart invalidates URLs: %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(file, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSigner(file, "h:1"); err == nil || !strings.Contains(err.Error(), "delete it") {
		t.Errorf("a short key is used: %v", err)
	}
}

func TestStoreSize(t *testing.T) {
	dir := t.TempDir()
	store := NewStore(dir)
	if store.Size(digest) != 0 || store.Size("../x") != 0 {
		t.Error("something is there before it is staged")
	}
	if err := os.MkdirAll(filepath.Join(dir, "sha256", strings.Repeat("c", 64)), 0o755); err != nil {
		t.Fatal(err)
	}
	if store.Size(strings.Repeat("c", 64)) != 0 {
		t.Error("a directory counts as a model")
	}
}
