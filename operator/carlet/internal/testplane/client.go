package testplane

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
)

// Connect is a client of a nats-server until the test ends.
func Connect(t *testing.T, url string, options ...nats.Option) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// OnError is an option of a client that is told what its server complains of.
func OnError(hear func(error)) nats.Option {
	return nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { hear(err) })
}

var violation = regexp.MustCompile(`(?i)permissions violation for (publish|subscription) to "([^"]*)"`)

// Refusals are the subjects that a server refuses to a client.
type Refusals struct {
	t             *testing.T
	mu            sync.Mutex
	publishes     map[string]bool
	subscriptions map[string]bool
}

// NewRefusals has heard nothing yet.
func NewRefusals(t *testing.T) *Refusals {
	t.Helper()
	return &Refusals{t: t, publishes: map[string]bool{}, subscriptions: map[string]bool{}}
}

// Hear takes an error of the client's connection, which must be the refusal of a subject.
func (r *Refusals) Hear(err error) {
	found := violation.FindStringSubmatch(err.Error())
	if found == nil {
		r.t.Errorf("not a refusal of a subject: %v", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if strings.EqualFold(found[1], "publish") {
		r.publishes[found[2]] = true
	} else {
		r.subscriptions[found[2]] = true
	}
}

// Await waits until all of these are refused.
func (r *Refusals) Await(t *testing.T, publishes, subscriptions []string) {
	t.Helper()
	Eventually(t, "everything of others is refused", func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, subject := range publishes {
			if !r.publishes[subject] {
				return fmt.Errorf("publish to %s was not refused", subject)
			}
		}
		for _, subject := range subscriptions {
			if !r.subscriptions[subject] {
				return fmt.Errorf("subscription to %s was not refused", subject)
			}
		}
		return nil
	})
}

// Publish says whether publishing to a subject was refused.
func (r *Refusals) Publish(subject string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.publishes[subject]
}
