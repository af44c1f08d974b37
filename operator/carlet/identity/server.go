package identity

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"parkade.dev/carlet/internal/admission"
)

// What one carlet answers: signing and the roll take well under a millisecond, so these bound harm, not use. Who is turned
// away is asked back no faster than that. Failures are counted by address, and only they: a whole garage may share one.
const (
	answersAtOnce                  = 64
	answersPerSecond, answersBurst = 100, 400
	leastWait                      = 10 * time.Second
	failuresPerMinute              = 10
	failuresBurst                  = 10
	maxAddresses                   = 10_000
	maxBody                        = 16 << 10
	answerTimeout                  = 10 * time.Second
)

// Server answers POST /v1/enroll and /v1/renew, and GET /v1/nonce.
type Server struct {
	office *Office
	all    *admission.Gate

	mu       sync.Mutex
	failures map[string]*rate.Limiter
}

// NewServer serves an office.
func NewServer(office *Office) *Server {
	all := admission.NewGate(admission.Options{
		AtOnce: answersAtOnce, PerSecond: answersPerSecond, Burst: answersBurst, Returning: answersPerSecond, Least: leastWait,
	})
	return &Server{office: office, all: all, failures: map[string]*rate.Limiter{}}
}

// Register adds the paths to a mux.
func (s *Server) Register(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/enroll", func(w http.ResponseWriter, r *http.Request) {
		var asked Enrolment
		s.answer(w, r, "enroll", &asked, func(ctx context.Context) (Grant, error) {
			token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			return s.office.Enroll(ctx, token, asked)
		})
	})
	mux.HandleFunc("POST /v1/renew", func(w http.ResponseWriter, r *http.Request) {
		var asked Renewal
		s.answer(w, r, "renew", &asked, func(ctx context.Context) (Grant, error) { return s.office.Renew(ctx, asked) })
	})
	mux.HandleFunc("GET /v1/nonce", func(w http.ResponseWriter, _ *http.Request) {
		leave, wait, admitted := s.all.Enter(s.office.Now())
		if !admitted {
			refuse(w, tooMany(wait))
			return
		}
		defer leave()
		write(w, http.StatusOK, map[string]string{"nonce": s.office.Nonce()})
	})
}

// answer reads a request within bounds, asks the office, and counts failures against the caller's address.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, way string, asked any, decide func(context.Context) (Grant, error)) {
	now, address := s.office.Now(), host(r.RemoteAddr)
	if !s.mayFail(address, now) {
		s.office.Count(way, TooManyAsk)
		refuse(w, tooMany(leastWait))
		return
	}
	leave, wait, admitted := s.all.Enter(now)
	if !admitted {
		s.office.Count(way, TooManyAsk)
		refuse(w, tooMany(wait))
		return
	}
	defer leave()
	var err error
	var grant Grant
	if text, failed := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody)); failed != nil || json.Unmarshal(text, asked) != nil {
		err = malformed("the body is not a JSON object of at most 16 KiB; docs/architecture.md, \"Enrolment\", says what it holds")
	} else {
		ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
		grant, err = decide(ctx)
		cancel()
	}
	s.office.Count(way, reasonOf(err))
	if err != nil {
		refusal := asRefusal(err)
		if refusal.Reason != NotAnsweredNow {
			s.failed(address, now)
		}
		refuse(w, refusal)
		return
	}
	write(w, http.StatusOK, grant)
}

func (s *Server) mayFail(address string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	limiter := s.failures[address]
	return limiter == nil || limiter.TokensAt(now) >= 1
}

func (s *Server) failed(address string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.failures) >= maxAddresses {
		for known, limiter := range s.failures {
			if limiter.TokensAt(now) >= failuresBurst {
				delete(s.failures, known)
			}
		}
		if len(s.failures) >= maxAddresses { // the limit over all still holds
			clear(s.failures)
		}
	}
	if s.failures[address] == nil {
		s.failures[address] = rate.NewLimiter(rate.Limit(failuresPerMinute)/60, failuresBurst)
	}
	s.failures[address].AllowN(now, 1)
}

func tooMany(wait time.Duration) *Refusal {
	return &Refusal{Reason: TooManyAsk, Message: "too many cars ask at once, or too many were refused at this address; ask again later", RetryAfter: wait}
}

func refuse(w http.ResponseWriter, refusal *Refusal) {
	if refusal.RetryAfter > 0 {
		w.Header().Set("Retry-After", admission.RetryAfter(refusal.RetryAfter))
	}
	write(w, statuses[refusal.Reason], map[string]string{"error": refusal.Message, "reason": string(refusal.Reason)})
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func host(address string) string {
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return name
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
