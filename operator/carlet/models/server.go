package models

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"parkade.dev/carlet/internal/admission"
)

var digestPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Store is the folder in which the operator stages models as sha256/<hex>.
type Store struct{ dir string }

// NewStore names a store; the folder may come into being later.
func NewStore(dir string) Store { return Store{dir} }

// Size is the size of a staged digest in bytes, or 0 if it is not there.
func (s Store) Size(digest string) int64 {
	if !digestPattern.MatchString(digest) {
		return 0
	}
	info, err := os.Stat(s.path(digest))
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return info.Size()
}

func (s Store) path(digest string) string { return filepath.Join(s.dir, "sha256", digest) }

// Server answers GET and HEAD /models/<sha256>, with Range.
type Server struct {
	Store  Store
	Signer *Signer
	Now    func() time.Time
	// Elsewhere is where vehicles are sent for files that are there too; nil if nowhere.
	Elsewhere *Elsewhere
	// Sent is told the bytes of bodies as they are written.
	Sent func(bytes int)
	// Gate bounds the requests under way, and TurnedAway is told of each that it does not admit; nil for no bound.
	Gate       *admission.Gate
	TurnedAway func()
	// Stall is how long a reader may take nothing before it gives its place to another; 0 for ever.
	Stall time.Duration
}

// NewGate bounds how many requests for models are under way. A place costs two descriptors and about 100 kB; those turned
// away are asked back so fast that a model of some megabytes is sent meanwhile.
func NewGate(atOnce int) *admission.Gate {
	return admission.NewGate(admission.Options{AtOnce: atOnce, Returning: 50, Least: 5 * time.Second})
}

// Register adds the server's only path to a mux.
func (s *Server) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /models/{digest}", s.admit) // GET also answers HEAD
}

func (s *Server) admit(w http.ResponseWriter, r *http.Request) {
	if s.Gate == nil {
		s.serve(w, r)
		return
	}
	leave, wait, admitted := s.Gate.Enter(s.Now())
	if !admitted {
		s.TurnedAway()
		w.Header().Set("Retry-After", admission.RetryAfter(wait))
		refuse(w, http.StatusServiceUnavailable, "too many cars fetch models at once; go on in as many seconds as Retry-After says")
		return
	}
	defer leave()
	s.serve(w, r)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	digest, query := r.PathValue("digest"), r.URL.Query()
	if !digestPattern.MatchString(digest) {
		refuse(w, http.StatusNotFound, "the path is /models/ and a sha256 in lower-case hexadecimal")
		return
	}
	if !s.Signer.Check(digest, query.Get("expires"), query.Get("signature"), s.Now()) {
		refuse(w, http.StatusForbidden, "the URL is not signed or has expired; say hello again to get a new one")
		return
	}
	file, err := os.Open(s.Store.path(digest))
	if errors.Is(err, fs.ErrNotExist) {
		refuse(w, http.StatusNotFound, "the model is not in the store yet; try again in some seconds")
		return
	}
	if err != nil {
		refuse(w, http.StatusInternalServerError, "the store cannot be read")
		return
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		refuse(w, http.StatusNotFound, "the model is not in the store")
		return
	}
	if s.Elsewhere != nil {
		if target := s.Elsewhere.URL(r.Context(), digest, info.Size(), s.Now()); target != "" {
			w.Header().Set("Cache-Control", "no-store")
			http.Redirect(w, r, target, http.StatusTemporaryRedirect)
			return
		}
	}
	header := w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("ETag", `"`+digest+`"`)
	header.Set("Cache-Control", "private, immutable")
	// Content of a digest never changes, so no time of change is needed and If-Range works by the ETag.
	body := counting{w, s.Sent, http.NewResponseController(w), s.Stall}
	defer body.patient(0)
	http.ServeContent(body, r, "", time.Time{}, file)
}

func refuse(w http.ResponseWriter, status int, sentence string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": sentence})
}

type counting struct {
	http.ResponseWriter
	sent    func(int)
	control *http.ResponseController
	stall   time.Duration
}

// patient bounds how long the next write may take; without a bound if stall is 0. What cannot have a deadline has none.
func (c counting) patient(stall time.Duration) {
	deadline := time.Time{}
	if stall > 0 {
		deadline = time.Now().Add(stall)
	}
	_ = c.control.SetWriteDeadline(deadline)
}

func (c counting) Write(body []byte) (int, error) {
	c.patient(c.stall)
	n, err := c.ResponseWriter.Write(body)
	c.sent(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (c counting) Unwrap() http.ResponseWriter { return c.ResponseWriter }
