package identity

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"parkade.dev/carlet/fleet"
)

// How long a nonce is good, and how often one vehicle is answered over the link: a car asks once a day.
const (
	nonceLife  = time.Minute
	renewEvery = 5 * time.Second
)

const saltBytes = 16

// Enrolment is what a car asks for with a token, and Renewal what it asks for with its key. CSR is a certificate request
// in PEM; without it only the fleet link's token is renewed.
type (
	Enrolment struct {
		V         int    `json:"v"`
		Fleet     string `json:"fleet"`
		ID        string `json:"id"` // the real one; it is hashed at once, and neither kept nor logged
		PublicKey string `json:"publicKey"`
		CSR       string `json:"csr"`
	}
	Renewal struct {
		V         int    `json:"v"`
		Fleet     string `json:"fleet"`
		Vehicle   string `json:"vehicle"`
		PublicKey string `json:"publicKey"`
		CSR       string `json:"csr"`
		Nonce     string `json:"nonce"`
		Signature []byte `json:"signature"` // of Proof, by the car's nkey
	}
)

// Proof is what a car signs to show that it has the key of its name.
func (r *Renewal) Proof() []byte {
	return []byte(strings.Join([]string{"parkade-renew", r.Nonce, r.Fleet, r.Vehicle, r.CSR}, "\n"))
}

// Grant is the answer to both: all that the car needs besides its own keys. Expires is in unix seconds.
type Grant struct {
	V           int    `json:"v"`
	Fleet       string `json:"fleet,omitempty"`
	Vehicle     string `json:"vehicle,omitempty"`
	JWT         string `json:"jwt,omitempty"`
	Certificate string `json:"certificate,omitempty"`
	Expires     int64  `json:"expires,omitempty"`
	Reason      Reason `json:"reason,omitempty"`
	Message     string `json:"message,omitempty"`
}

// Office decides who is let in, and tells its owner who no longer is.
type Office struct {
	Issuer *fleet.Issuer
	Life   time.Duration // of credentials
	// Revoked and Readmitted are told of cars whose right ended or began anew, Forgotten of those to be erased.
	Revoked, Readmitted, Forgotten func(fleet.Key)
	// Count is told of each answer: its way (enroll, renew, link) and the Reason, empty for a grant.
	Count func(way string, reason Reason)
	Log   *slog.Logger
	Now   func() time.Time

	conn  *nats.Conn
	again chan struct{} // connected anew: what was watched may have ended without a word
	roll  *Roll

	mu      sync.Mutex
	cars    map[fleet.Key]Entry
	byIndex map[string]fleet.Key // by key in the roll
	names   map[string]string    // key of another name in the roll to that of its car
	renewed map[fleet.Key]time.Time
}

// Open connects to the fleet link with carlet's credentials, reads the roll and answers renewals until the context ends.
func (o *Office) Open(ctx context.Context, url, credentials, ca string) error {
	o.cars, o.byIndex, o.renewed = map[fleet.Key]Entry{}, map[string]fleet.Key{}, map[fleet.Key]time.Time{}
	o.names = map[string]string{}
	o.again = make(chan struct{}, 1)
	conn, err := Connect(url, credentials, ca, nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(reconnectWait), nats.ReconnectJitter(reconnectWait, reconnectWait),
		nats.ReconnectHandler(func(*nats.Conn) {
			select {
			case o.again <- struct{}{}:
			default:
			}
		}))
	if err != nil {
		return err
	}
	o.conn = conn
	go o.serve(ctx)
	return nil
}

// Connect opens a connection to the fleet link.
func Connect(url, credentials, ca string, options ...nats.Option) (*nats.Conn, error) {
	options = append(options, nats.Name("carlet"), nats.UserCredentials(credentials))
	if ca != "" {
		options = append(options, nats.RootCAs(ca))
	}
	conn, err := nats.Connect(url, options...)
	if err != nil {
		return nil, fmt.Errorf("the fleet link at %s cannot be used: %w; check --nats, the credentials and the CA", url, err)
	}
	return conn, nil
}

// Ready says that the roll was read.
func (o *Office) Ready() bool { return o.opened() != nil }

func (o *Office) opened() *Roll {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.roll
}

// Enroll lets a car in by a token. A car that is in already gets its own name again, with the key that it had.
func (o *Office) Enroll(ctx context.Context, token string, asked Enrolment) (Grant, error) {
	roll := o.opened()
	if roll == nil {
		return Grant{}, unavailable()
	}
	admitted, err := roll.admits(ctx, asked.Fleet, token, o.Now())
	if err != nil {
		return Grant{}, o.failed(err)
	}
	if !admitted {
		return Grant{}, refusedToken
	}
	id, err := fleet.NormalID(asked.ID)
	if err != nil {
		return Grant{}, malformed(err.Error())
	}
	if !nkeys.IsValidPublicUserKey(asked.PublicKey) {
		return Grant{}, malformed("publicKey is not the public key of a NATS user; it begins with U")
	}
	for range 3 { // another carlet may write the same entry
		entry, err := o.admit(ctx, roll, asked, id)
		if errors.Is(err, jetstream.ErrKeyExists) {
			continue
		}
		if err != nil {
			return Grant{}, err
		}
		return o.grant(entry.Key(), asked.PublicKey, asked.CSR)
	}
	return Grant{}, unavailable()
}

// admit finds or makes the entry of a car whose token was good.
func (o *Office) admit(ctx context.Context, roll *Roll, asked Enrolment, id string) (Entry, error) {
	entry, found, err := roll.Find(ctx, asked.Fleet, o.Issuer.Index(asked.Fleet, id))
	switch {
	case err != nil:
		return Entry{}, o.failed(err)
	case !found:
		entry.Salt = make([]byte, saltBytes)
		if _, err := rand.Read(entry.Salt); err != nil {
			return Entry{}, err
		}
		entry.Vehicle = o.Issuer.Pseudonym(asked.Fleet, id, entry.Salt)
	case entry.Revoked:
		return Entry{}, refusedRevoked
	case entry.PublicKey == asked.PublicKey:
		return entry, nil
	case entry.PublicKey != "":
		return Entry{}, refusedKey
	}
	entry.PublicKey, entry.Enrolled = asked.PublicKey, o.Now().Unix()
	if err := roll.Save(ctx, entry); err != nil {
		if errors.Is(err, jetstream.ErrKeyExists) {
			return Entry{}, err
		}
		return Entry{}, o.failed(err)
	}
	return entry, nil
}

// Renew answers a car whose credentials expired while it slept: its key is proof enough while it is not revoked.
func (o *Office) Renew(ctx context.Context, asked Renewal) (Grant, error) {
	if o.opened() == nil {
		return Grant{}, unavailable()
	}
	if !o.fresh(asked.Nonce) {
		return Grant{}, refusedProof
	}
	user, err := nkeys.FromPublicKey(asked.PublicKey)
	if err != nil || !nkeys.IsValidPublicUserKey(asked.PublicKey) || user.Verify(asked.Proof(), asked.Signature) != nil {
		return Grant{}, refusedProof
	}
	key := fleet.Key{Fleet: asked.Fleet, Vehicle: asked.Vehicle}
	entry, refused := o.enrolled(key)
	if refused != nil {
		return Grant{}, refused
	}
	if entry.PublicKey != asked.PublicKey {
		return Grant{}, refusedStranger
	}
	return o.grant(key, entry.PublicKey, asked.CSR)
}

func (o *Office) enrolled(key fleet.Key) (Entry, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	entry, known := o.cars[key]
	switch {
	case !known:
		return Entry{}, refusedStranger
	case entry.out():
		return Entry{}, refusedRevoked
	}
	return entry, nil
}

// grant signs for a car that may come in.
func (o *Office) grant(key fleet.Key, public, csr string) (Grant, error) {
	now := o.Now()
	grant := Grant{V: fleet.Version, Fleet: key.Fleet, Vehicle: key.Vehicle, Expires: now.Add(o.Life).Unix()}
	var err error
	if csr != "" {
		if grant.Certificate, err = o.Issuer.Certificate(key, csr, o.Life, now); err != nil {
			return Grant{}, malformed(err.Error())
		}
	}
	grant.JWT, err = o.Issuer.Token(key, public, o.Life, now)
	return grant, err
}

func refusalAsGrant(err error) Grant {
	refusal := asRefusal(err)
	return Grant{V: fleet.Version, Reason: refusal.Reason, Message: refusal.Message}
}

func asRefusal(err error) *Refusal {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return refusal
	}
	return unavailable()
}

func reasonOf(err error) Reason {
	if err == nil {
		return ""
	}
	return asRefusal(err).Reason
}

// failed logs why the roll could not be used, and is what the car hears of it.
func (o *Office) failed(err error) *Refusal {
	o.Log.Warn("the fleet's roll cannot be used", "error", err)
	return unavailable()
}

// Nonce is a number to sign. It is not kept: any carlet of the fleet knows its own again by the key in it.
func (o *Office) Nonce() string {
	issued := strconv.FormatInt(o.Now().Unix(), 10)
	return issued + "." + o.Issuer.Challenge(issued)
}

func (o *Office) fresh(nonce string) bool {
	issued, mac, _ := strings.Cut(nonce, ".")
	seconds, err := strconv.ParseInt(issued, 10, 64)
	if err != nil || !equal(mac, o.Issuer.Challenge(issued)) {
		return false
	}
	age := o.Now().Sub(time.Unix(seconds, 0))
	return age < nonceLife && age > -nonceLife
}
