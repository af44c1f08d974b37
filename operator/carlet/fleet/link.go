package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Stream keeps the last hello and the last state of every vehicle.
const Stream = "PARKADE_VEHICLES"

// How the link is kept: reconnects spread over reconnectJitter, so that a restarted server is not flooded.
const (
	reconnectWait   = 500 * time.Millisecond
	reconnectJitter = time.Second
	pingInterval    = 10 * time.Second
	retryStream     = 2 * time.Second
	replayTimeout   = 30 * time.Second
)

// LinkOptions say where the fleet link is and whom to tell.
type LinkOptions struct {
	URL         string
	Credentials string // file; empty only against a server without authentication
	CA          string // file; empty without TLS
	// Count is called for every message with its kind and outcome.
	Count func(Kind, Outcome)
	// Wake is called when decisions may come out differently.
	Wake func()
	Log  *slog.Logger
}

// Link is carlet's end of the fleet link: it feeds the registry and sends orders.
type Link struct {
	options  LinkOptions
	registry *Registry
	conn     *nats.Conn
	replayed atomic.Bool
	lostAt   atomic.Int64 // unix nanoseconds; 0 while connected
	again    chan struct{}
}

// Dial starts the link. It returns at once; the link connects, and reconnects, for as long as the context lives.
func Dial(ctx context.Context, registry *Registry, options LinkOptions) (*Link, error) {
	link := &Link{options: options, registry: registry, again: make(chan struct{}, 1)}
	settings := []nats.Option{
		nats.Name("carlet"),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		nats.PingInterval(pingInterval),
		nats.IgnoreAuthErrorAbort(),
		nats.ConnectHandler(func(*nats.Conn) { link.connected() }),
		nats.ReconnectHandler(func(*nats.Conn) { link.connected() }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { link.disconnected(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			options.Log.Warn("fleet link", "error", err)
		}),
	}
	if options.Credentials != "" {
		settings = append(settings, nats.UserCredentials(options.Credentials))
	}
	if options.CA != "" {
		settings = append(settings, nats.RootCAs(options.CA))
	}
	link.lostAt.Store(time.Now().UnixNano())
	conn, err := nats.Connect(options.URL, settings...)
	if err != nil {
		return nil, fmt.Errorf("the fleet link at %s cannot be used: %w; check --nats, --nats-creds and --nats-ca", options.URL, err)
	}
	link.conn = conn
	// Beats have a subscription, and so a queue, of their own: a flood of states delays no sign of life.
	for _, kind := range []Kind{KindBeat, KindHello, KindState} {
		if _, err := conn.Subscribe("parkade.v1.*.*."+string(kind), link.hear); err != nil {
			conn.Close()
			return nil, fmt.Errorf("the fleet link refuses a subscription: %w", err)
		}
	}
	go link.keep(ctx)
	return link, nil
}

// Ready says that the last words of all vehicles are known.
func (l *Link) Ready() bool { return l.replayed.Load() }

// Connected says that messages flow now.
func (l *Link) Connected() bool { return l.conn.IsConnected() }

// HeardUntil is the instant up to which silence means something: now, or when the link was lost.
func (l *Link) HeardUntil(now time.Time) time.Time {
	if lost := l.lostAt.Load(); lost != 0 {
		return time.Unix(0, lost)
	}
	return now
}

// Send orders a vehicle. An order lost on the way is repaired by the vehicle's next hello.
func (l *Link) Send(key Key, desired Desired) error {
	text, err := json.Marshal(desired)
	if err != nil {
		return fmt.Errorf("desired set of a vehicle: %w", err)
	}
	return l.conn.Publish(Subject(key, KindDesired), text)
}

func (l *Link) hear(msg *nats.Msg) {
	l.take(msg.Subject, msg.Data, time.Now(), false)
}

func (l *Link) take(subject string, data []byte, at time.Time, replayed bool) {
	heard := l.registry.Hear(subject, data, at, replayed)
	l.options.Count(heard.Kind, heard.Outcome)
	if heard.Changed {
		l.options.Wake()
	}
}

func (l *Link) disconnected(err error) {
	l.lostAt.CompareAndSwap(0, time.Now().UnixNano())
	l.options.Log.Warn("fleet link lost; vehicles keep what they have", "error", err)
}

func (l *Link) connected() {
	now := time.Now()
	if lost := l.lostAt.Swap(0); lost != 0 && l.replayed.Load() {
		l.registry.Resume(time.Unix(0, lost), now)
	}
	l.options.Log.Info("fleet link connected")
	select {
	case l.again <- struct{}{}:
	default:
	}
	l.options.Wake()
}

// keep makes sure after every connect that the stream exists, and replays it once.
func (l *Link) keep(ctx context.Context) {
	defer l.conn.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.again:
		}
		for err := l.prepare(ctx); err != nil && ctx.Err() == nil; err = l.prepare(ctx) {
			l.options.Log.Warn("vehicle stream is not usable yet", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(retryStream):
			}
		}
	}
}

func (l *Link) prepare(ctx context.Context) error {
	js, err := jetstream.New(l.conn)
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	stream, err := js.CreateOrUpdateStream(bounded, jetstream.StreamConfig{
		Name:              Stream,
		Description:       "Last hello and last state of every vehicle",
		Subjects:          []string{"parkade.v1.*.*.hello", "parkade.v1.*.*.state"},
		MaxMsgsPerSubject: 1,
		MaxMsgSize:        MaxMessageBytes,
		Storage:           jetstream.FileStorage,
		Discard:           jetstream.DiscardOld,
	})
	if err != nil || l.replayed.Load() {
		return err
	}
	if err := l.replay(bounded, stream); err != nil {
		return err
	}
	l.registry.Adopt(time.Now())
	l.replayed.Store(true)
	l.options.Wake()
	return nil
}

// replay reads the last words of every vehicle.
func (l *Link) replay(ctx context.Context, stream jetstream.Stream) error {
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy})
	if err != nil {
		return err
	}
	for {
		batch, err := consumer.FetchNoWait(1000)
		if err != nil {
			return err
		}
		count := 0
		for msg := range batch.Messages() {
			count++
			meta, err := msg.Metadata()
			if err != nil {
				return err
			}
			l.take(msg.Subject(), msg.Data(), meta.Timestamp, true)
		}
		if err := batch.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) {
			return err
		}
		if count == 0 || ctx.Err() != nil {
			return ctx.Err()
		}
	}
}
