package fleet

import (
	"context"
	"encoding/json"
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
	streamTimeout   = 10 * time.Second
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
	beats    *nats.Subscription
	replayed atomic.Bool
	lostAt   atomic.Int64 // unix nanoseconds; 0 while connected
	heardAll atomic.Int64 // unix nanoseconds; when no beat waited
	again    chan struct{}
	reading  reading
}

// reading is how far the stream was read; only the goroutine of keep, or the reader it started, touches it.
type reading struct {
	context jetstream.ConsumeContext
	created time.Time // of the stream: another one begins anew
	last    uint64    // sequence read last
	past    uint64    // sequences up to it were said to an earlier carlet
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
		nats.ReconnectBufSize(-1), // an order is sent now or decided again: kept for later, it might be another carlet's to give
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
	link.heardAll.Store(time.Now().UnixNano())
	// Beats have a lane of their own: a flood of states delays no sign of life.
	if link.beats, err = conn.Subscribe("parkade.v1.*.*."+string(KindBeat), link.beat); err != nil {
		conn.Close()
		return nil, fmt.Errorf("the fleet link refuses a subscription: %w", err)
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

// LostFor says for how long no vehicle has been reached; 0 while messages flow.
func (l *Link) LostFor(now time.Time) time.Duration { return now.Sub(l.HeardUntil(now)) }

// ListenedUntil is the instant up to which every beat that came was taken in: a carlet that has too much to do takes nobody
// for silent whose beats are waiting.
func (l *Link) ListenedUntil(now time.Time) time.Time {
	waiting, _, err := l.beats.Pending()
	if err == nil && waiting == 0 {
		l.heardAll.Store(now.UnixNano())
	}
	until := l.HeardUntil(now)
	if all := time.Unix(0, l.heardAll.Load()); all.Before(until) {
		return all
	}
	return until
}

// Send orders a vehicle; it fails while the link is down. An order that is lost on the way is told again when the vehicle's
// states do not name it.
func (l *Link) Send(key Key, desired Desired) error {
	text, err := json.Marshal(desired)
	if err != nil {
		return fmt.Errorf("desired set of a vehicle: %w", err)
	}
	return l.conn.Publish(Subject(key, KindDesired), text)
}

func (l *Link) beat(msg *nats.Msg) {
	l.take(msg.Subject, msg.Data, time.Now(), false)
}

func (l *Link) take(subject string, data []byte, at time.Time, replayed bool) {
	heard := l.registry.Hear(subject, data, at, replayed)
	l.options.Count(heard.Kind, heard.Outcome)
	if heard.Kind == KindHello && !replayed {
		l.answerHello(heard, data)
	}
	if heard.Changed {
		l.options.Wake()
	}
}

// answerHello tells a vehicle of another version, older or newer, what this carlet understands.
func (l *Link) answerHello(heard Heard, data []byte) {
	answer, needed := AnswerHello(data, heard.Outcome)
	if !needed {
		return
	}
	text, err := json.Marshal(answer)
	if err == nil {
		err = l.conn.Publish(Subject(heard.Key, KindSupported), text)
	}
	if err != nil {
		l.options.Log.Debug("a vehicle was not told what is supported; its next hello asks again", "error", err)
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

// keep makes sure after every connect that the stream exists and is read on: what vehicles said while carlet was away
// is in it.
func (l *Link) keep(ctx context.Context) {
	defer l.conn.Close()
	defer l.stopReading()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.again:
		}
		for err := l.read(ctx); err != nil && ctx.Err() == nil; err = l.read(ctx) {
			l.options.Log.Warn("vehicle stream cannot be read yet", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(retryStream):
			}
		}
	}
}

// read reads the stream from where it was read last, or all of a new one, and goes on with what comes.
func (l *Link) read(ctx context.Context) error {
	l.stopReading()
	js, err := jetstream.New(l.conn)
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, streamTimeout)
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
	if err != nil {
		return err
	}
	info := stream.CachedInfo()
	if !info.Created.Equal(l.reading.created) || info.State.LastSeq < l.reading.last {
		l.reading.created, l.reading.last, l.reading.past = info.Created, 0, 0
	}
	if !l.replayed.Load() {
		l.reading.past = info.State.LastSeq
	}
	consumer, err := js.OrderedConsumer(bounded, Stream, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: l.reading.last + 1,
	})
	if err != nil {
		return err
	}
	if info.State.Msgs == 0 || l.reading.last >= l.reading.past {
		l.caughtUp()
	}
	l.reading.context, err = consumer.Consume(l.readMessage, jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		l.options.Log.Debug("vehicle stream", "error", err) // the consumer mends itself, or the next connect does
	}))
	return err
}

func (l *Link) stopReading() {
	if l.reading.context != nil {
		l.reading.context.Stop()
		<-l.reading.context.Closed()
		l.reading.context = nil
	}
}

func (l *Link) readMessage(msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		l.options.Log.Warn("vehicle stream", "error", err)
		return
	}
	at, past := meta.Timestamp, meta.Sequence.Stream <= l.reading.past
	if now := time.Now(); at.After(now) { // another machine's clock
		at = now
	}
	l.take(msg.Subject(), msg.Data(), at, past)
	l.reading.last = meta.Sequence.Stream
	if l.reading.last >= l.reading.past {
		l.caughtUp()
	}
}

// caughtUp ends the replay of what was said to an earlier carlet.
func (l *Link) caughtUp() {
	if l.replayed.Load() {
		return
	}
	l.registry.Adopt(time.Now())
	l.replayed.Store(true)
	l.options.Wake()
}
