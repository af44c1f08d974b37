package models

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// far is another HTTPS server with files, and counts how often it is asked.
func far(t *testing.T, files map[string][]byte) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	asked := new(atomic.Int64)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		body, there := files[r.URL.Path]
		if !there {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	}))
	t.Cleanup(server.Close)
	return server, asked
}

// redirecting is the fixture whose server sends vehicles elsewhere.
func redirecting(t *testing.T, where string, client *http.Client) *fixture {
	t.Helper()
	elsewhere, err := NewElsewhere(where, client, "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere.patience = time.Minute // a busy machine is no bucket that is gone
	f := serve(t)
	f.target.Elsewhere = elsewhere
	return f
}

func TestAVehicleIsSentWhereTheFileIs(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789"), 1000)
	files := map[string][]byte{"/models/sha256/" + digest: body}
	server, asked := far(t, files)
	f := redirecting(t, server.URL+"/models", server.Client())
	for range 3 {
		status, header, _ := f.once(t, f.path(digest, now))
		if status != 307 || header.Get("Location") != server.URL+"/models/sha256/"+digest {
			t.Fatalf("%d to %q", status, header.Get("Location"))
		}
	}
	if asked.Load() != 1 {
		t.Errorf("it is looked once in a while, not %d times", asked.Load())
	}
	if status, _, _ := f.once(t, "/models/"+digest); status != 403 {
		t.Errorf("who shows no signature is sent nowhere: %d", status)
	}
	files["/models/sha256/"+digest] = body[1:]
	f.at(now.Add(2 * time.Minute))
	if status, _, got := f.once(t, f.path(digest, now)); status != 200 || !bytes.Equal(got, body) {
		t.Errorf("a file of another size is not the file: %d", status)
	}
	delete(files, "/models/sha256/"+digest)
	f.at(now.Add(4 * time.Minute))
	if status, _, _ := f.once(t, f.path(digest, now)); status != 200 {
		t.Errorf("what is not there is served from here: %d", status)
	}
	server.Close()
	f.at(now.Add(6 * time.Minute))
	if status, _, _ := f.once(t, f.path(digest, now)); status != 200 {
		t.Errorf("when nobody answers there it is served from here: %d", status)
	}
}

func TestABucketsUrlsArePresigned(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "key-id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "never-to-be-shown")
	server, _ := far(t, map[string][]byte{"/bucket/fleet/sha256/" + digest: bytes.Repeat([]byte("0123456789"), 1000)})
	f := redirecting(t, strings.Replace(server.URL, "https", "s3+https", 1)+"/bucket/fleet", server.Client())
	status, header, _ := f.once(t, f.path(digest, now))
	location, err := url.Parse(header.Get("Location"))
	if status != 307 || err != nil || location.Scheme != "https" || location.Path != "/bucket/fleet/sha256/"+digest {
		t.Fatalf("%d to %q", status, header.Get("Location"))
	}
	query := location.Query()
	if query.Get("X-Amz-Signature") == "" || query.Get("X-Amz-Expires") != "3600" || !strings.HasPrefix(query.Get("X-Amz-Credential"), "key-id/") {
		t.Errorf("not presigned: %v", query)
	}
	if strings.Contains(location.String(), "never") {
		t.Error("the secret travels")
	}
}

func TestOneLooksWhileOthersAreServedFromHere(t *testing.T) {
	looking, answer := make(chan struct{}, 10), make(chan struct{})
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		looking <- struct{}{}
		<-answer
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(server.Close)
	f := redirecting(t, server.URL, server.Client())
	first := make(chan int)
	go func() {
		status, _, _ := f.once(t, f.path(digest, now))
		first <- status
	}()
	<-looking
	for range 3 { // while the far server keeps silent
		if status, _, _ := f.once(t, f.path(digest, now)); status != 200 {
			t.Errorf("answered %d", status)
		}
	}
	close(answer)
	if status := <-first; status != 200 || len(looking) != 0 {
		t.Errorf("answered %d, and %d more looked", status, len(looking))
	}
}

func TestALookDoesNotEndWithWhoAskedFirst(t *testing.T) {
	looking, answer := make(chan struct{}), make(chan struct{})
	body := bytes.Repeat([]byte("0123456789"), 1000)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(looking)
		<-answer
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	}))
	t.Cleanup(server.Close)
	elsewhere, err := NewElsewhere(server.URL, server.Client(), "")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere.patience = time.Minute
	asked, leave := context.WithCancel(t.Context())
	go func() {
		<-looking
		leave()
		close(answer)
	}()
	if target := elsewhere.URL(asked, digest, int64(len(body)), now); target == "" {
		t.Error("the look ended")
	}
}

func TestWhereNobodyCanBeSent(t *testing.T) {
	for _, where := range []string{"http://plain/x", "ftp://x/y", "", "https://", "https://user:word@h/x", "https://h/x?y=1", "s3+https://host", "s3+https://host/"} {
		if _, err := NewElsewhere(where, http.DefaultClient, ""); err == nil || !strings.Contains(err.Error(), "write ") {
			t.Errorf("%q: %v", where, err)
		}
	}
}

func (f *fixture) at(moment time.Time) { f.now.Store(moment.Unix()) }

// once asks without following a redirect.
func (f *fixture) once(t *testing.T, path string) (int, http.Header, []byte) {
	t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Get(f.server.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, body.Bytes()
}
