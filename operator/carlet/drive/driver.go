package drive

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"parkade.dev/carlet/fleet"
)

// Options say which vehicles to play, where, and how.
type Options struct {
	Servers  []string // tls://HOST:PORT; vehicles are spread over them
	TLS      *tls.Config
	Enroll   func(fleet.Key) ([]byte, error) // credentials of a vehicle
	Fleet    string
	Prefix   string // of vehicles' names
	First    int    // number of the first vehicle
	Vehicles int
	Hardware string
	Memory   int64 // bytes of each vehicle
	Slots    int
	Charge   float64 // percent
	Links    []Share
	Beat     time.Duration
	Dials    int           // handshakes at once
	Spread   time.Duration // over which the first dials are spread
	Rate     float64       // bytes a second of a pretended download
	Load     time.Duration // of a pretended load
	Drain    time.Duration
	Staying  time.Duration // between the announcement of a departure and the departure
	Stretch  float64       // of the outages of the links' traces; 0 for none
	Speed    float64       // seconds of the charging traces in a second; 0 for cars that stay
	// Chargers and Telemetry are the shares of the vehicles that such a witness sees, which says so each Sighting.
	Chargers, Telemetry float64
	Sighting            time.Duration
	Tell                map[fleet.Source]Tell
	// WeekStart is where in the week the charging traces begin.
	WeekStart time.Duration
	// Fetch really downloads a model by its signed URL and returns its bytes; nil pretends.
	Fetch Fetch
}

// Fetch gets a model of a digest.
type Fetch func(ctx context.Context, url, digest string) (int64, error)

// Share is how many of the vehicles have a link.
type Share struct {
	Link     string
	Fraction float64
}

// pass is how a vehicle proves who it is.
type pass struct {
	token string
	pair  nkeys.KeyPair
	renew moment
}

// passLife is after how long a dial needs new credentials; they live a day.
const passLife = 12 * time.Hour

// Driver plays vehicles.
type Driver struct {
	options       Options
	began         time.Time
	traces        *traces
	vehicles      []*vehicle
	agendas       []*agenda
	dialing       chan *vehicle
	fetcher       Fetch
	traffic       traffic
	counts        counts
	contracts     sync.Map // text to contract
	interned      sync.Map // text to itself
	lastConnected atomic.Int64
	lastOrder     atomic.Int64
	failure       atomic.Pointer[string]
	started       chan struct{}
	stopped       context.Context //nolint:containedctx // of downloads, which vehicles start
}

// New makes the vehicles; nothing is signed or dialled yet.
func New(options Options) (*Driver, error) {
	found, err := readTraces()
	if err != nil {
		return nil, err
	}
	d := &Driver{options: options, traces: found, fetcher: options.Fetch, dialing: make(chan *vehicle, options.Vehicles), started: make(chan struct{})}
	for range runtime.GOMAXPROCS(0) {
		d.agendas = append(d.agendas, newAgenda(d.now))
	}
	addresses := make([]string, 0, len(options.Servers))
	for _, server := range options.Servers {
		address, err := url.Parse(server)
		if err != nil || address.Host == "" || address.Port() == "" {
			return nil, fmt.Errorf("--nats %q is not tls://HOST:PORT", server)
		}
		addresses = append(addresses, address.Host)
	}
	for i := range options.Vehicles {
		d.vehicles = append(d.vehicles, d.vehicle(options.First+i, addresses))
	}
	return d, nil
}

func (d *Driver) vehicle(number int, addresses []string) *vehicle {
	o := &d.options
	key := fleet.Key{Fleet: o.Fleet, Vehicle: fmt.Sprintf("%s%06d", o.Prefix, number)}
	v := &vehicle{
		driver: d, number: number, key: key, address: addresses[number%len(addresses)],
		link: d.linkOf(number), offset: time.Duration(spread(number, 9) % uint64(week)),
		slot: -1, beatAt: never, pongBy: never, pingAt: never, sayAt: never, cutAt: never, stayAt: never, sighted: sighted{at: never}, outlook: outlook{at: never}, ahead: ahead{until: never},
	}
	if o.Spread > 0 {
		v.dialAt = time.Duration(spread(number, 8) % uint64(o.Spread))
	}
	if o.Stretch > 0 {
		v.cutAt = 0 // a look at the trace
	}
	if o.Speed > 0 {
		v.stays, v.stayAt = d.traces.staysOf(number), 0
	}
	return v
}

// enroll signs a vehicle's credentials before its first dial, and again when they are old.
func (d *Driver) enroll(v *vehicle) (*pass, error) {
	if v.pass != nil && d.now() < v.pass.renew {
		return v.pass, nil
	}
	text, err := d.options.Enroll(v.key)
	if err != nil {
		return nil, err
	}
	token, err := jwt.ParseDecoratedJWT(text)
	if err != nil {
		return nil, err
	}
	pair, err := jwt.ParseDecoratedUserNKey(text)
	v.pass = &pass{token, pair, d.now() + passLife}
	return v.pass, err
}

// spread is a number that looks random and is always the same for a vehicle and a use.
func spread(number, use int) uint64 {
	return fleet.Score("drive", fmt.Sprint(number), fmt.Sprint(use))
}

// portion is where a vehicle is in an order of all that is the same in every shard, from 0 to 1.
func portion(number, use int) float64 { return float64(spread(number, use)>>11) / (1 << 53) }

func (d *Driver) linkOf(number int) string {
	place := portion(number, 7)
	for _, share := range d.options.Links {
		if place -= share.Fraction; place < 0 {
			return share.Link
		}
	}
	return d.options.Links[len(d.options.Links)-1].Link
}

func (d *Driver) now() moment { return time.Since(d.began) }

func (d *Driver) agendaOf(v *vehicle) *agenda {
	return d.agendas[v.number%len(d.agendas)]
}

// AwaitStart returns when the clock of the driver runs.
func (d *Driver) AwaitStart() { <-d.started }

// Run drives until the context ends.
func (d *Driver) Run(ctx context.Context) {
	d.began, d.stopped = time.Now(), ctx
	close(d.started)
	var running sync.WaitGroup
	for range d.options.Dials {
		running.Go(func() { d.dial(ctx) })
	}
	for _, v := range d.vehicles {
		v.act()
	}
	for _, a := range d.agendas {
		running.Go(func() { a.run(ctx) })
	}
	running.Wait()
	for _, v := range d.vehicles {
		v.mu.Lock()
		if v.conn != nil {
			v.conn.drop()
		}
		v.mu.Unlock()
	}
}

func (d *Driver) dial(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case v := <-d.dialing:
			config := d.options.TLS.Clone()
			config.ClientSessionCache = &v.session
			config.ServerName, _, _ = net.SplitHostPort(v.address)
			conn, err := d.connect(ctx, v, config)
			if ctx.Err() == nil {
				v.dialled(conn, err)
			} else if conn != nil {
				conn.drop()
			}
		}
	}
}

func (d *Driver) connect(ctx context.Context, v *vehicle, config *tls.Config) (*connection, error) {
	pass, err := d.enroll(v)
	if err != nil {
		return nil, err
	}
	return dial(ctx, endpoint{v.address, config, v.key, pass, &d.traffic})
}

func (d *Driver) failed(err error) {
	d.traffic.refused.Add(1)
	text := err.Error()
	d.failure.Store(&text)
}

// intern keeps one copy of a text that thousands of vehicles are told.
func (d *Driver) intern(text string) string {
	kept, _ := d.interned.LoadOrStore(text, text)
	return kept.(string) //nolint:forcetypeassert // nothing else is stored
}

// shrink lets equal parts of desired sets share their memory.
func (d *Driver) shrink(desired *fleet.Desired) {
	desired.Cell, desired.Revision = d.intern(desired.Cell), d.intern(desired.Revision)
	desired.Payout, desired.EnergyPrice = nil, nil // what is paid moves no driven vehicle
	if len(desired.Contract) > 0 {
		text := bytes.Clone(desired.Contract)
		kept, _ := d.interned.LoadOrStore("contract "+string(text), json.RawMessage(text))
		desired.Contract = kept.(json.RawMessage) //nolint:forcetypeassert // nothing else is stored under this word
	}
	for i := range desired.Assignments {
		a := &desired.Assignments[i]
		a.Workload, a.Model, a.Digest = d.intern(a.Workload), d.intern(a.Model), d.intern(a.Digest)
		a.Format, a.Router = d.intern(a.Format), d.intern(a.Router)
	}
	for i := range desired.Stage {
		file := &desired.Stage[i]
		file.Digest, file.Format = d.intern(file.Digest), d.intern(file.Format)
	}
	if len(desired.Assignments) == 0 {
		desired.Assignments = nil
	}
}
