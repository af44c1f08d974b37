package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"parkade.dev/carlet/internal/testplane"
)

var (
	upKinds   = []string{"hello", "state", "beat", "receipt", "renew"}
	downKinds = []string{"desired", "stop", "credentials", "supported"}
)

// subjectsOfOthers are everything but a vehicle's own subjects: other vehicles', carlet's, and the server's.
func subjectsOfOthers(own Key) []string {
	var others []string
	for _, key := range []Key{{own.Fleet, "v-2"}, {"other", own.Vehicle}, {"other", "v-2"}, {own.Fleet, "carlet"}} {
		for _, kind := range slices.Concat(upKinds, downKinds) {
			others = append(others, Subject(key, Kind(kind)))
		}
		others = append(others, "_INBOX."+key.Fleet+"."+key.Vehicle+".x")
	}
	return append(others,
		WitnessSubjects+own.Fleet+".maker."+own.Vehicle+".vss", WitnessSubjects+own.Fleet+".charger.home.TransactionEvent", "$MQTT.msgs.x",
		"parkade", "parkade.v1", "parkade.v1."+own.Fleet, "parkade.v1."+own.Fleet+"."+own.Vehicle,
		Subject(own, "hello.x"), Subject(own, "anything"), strings.Replace(Subject(own, KindHello), "v1", "v2", 1),
		"_INBOX.x", "_INBOX."+own.Fleet+".x", "anything", "other.anything",
		"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.CREATE.MINE", "$JS.API.STREAM.DELETE."+Stream,
		"$JS.API.STREAM.PURGE."+Stream, "$JS.API.STREAM.MSG.GET."+Stream, "$JS.API.STREAM.MSG.DELETE."+Stream,
		"$JS.API.DIRECT.GET."+Stream, "$JS.API.DIRECT.GET.KV_PARKADE_FLEET.x", "$JS.API.CONSUMER.CREATE."+Stream,
		"$JS.API.CONSUMER.MSG.NEXT."+Stream+".x", "$JS.ACK."+Stream+".x", "$JS.FC."+Stream+".x", "$JS.EVENT.ADVISORY.x",
		"$KV.PARKADE_FLEET.car."+own.Fleet+".x", "$KV.PARKADE_FLEET.token."+own.Fleet+".x", "$O.x",
		"$SYS.REQ.SERVER.PING", "$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.CLAIMS.LIST", "$SYS.REQ.CLAIMS.DELETE", "$SYS.REQ.USER.AUTH",
		"$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.ACCOUNT.x.CONNECT", "$SRV.PING",
	)
}

// wildcards are every way to write a subject with tokens left open, and with its end left open.
func wildcards(subject string) []string {
	tokens := strings.Split(subject, ".")
	var all []string
	for mask := 1; mask < 1<<len(tokens); mask++ {
		open := slices.Clone(tokens)
		for i := range tokens {
			if mask>>i&1 == 1 {
				open[i] = "*"
			}
		}
		all = append(all, strings.Join(open, "."))
	}
	for length := range len(tokens) {
		all = append(all, strings.Join(append(slices.Clone(tokens[:length]), ">"), "."))
	}
	return all
}

func TestAVehicleReachesOnlyItsOwnSubjects(t *testing.T) {
	keys, options, _ := startServer(t)
	own := Key{"owners-ca", "v-1"}
	var mu sync.Mutex
	refused := testplane.NewRefusals(t)
	conn, carlet := vehicleConn(t, keys, options.Port, own, refused.Hear), crowd(t, options)
	heard := map[string]bool{}
	if _, err := carlet.Subscribe(">", func(msg *nats.Msg) {
		if string(msg.Data) == "from the vehicle" {
			mu.Lock()
			defer mu.Unlock()
			heard[msg.Subject] = true
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := carlet.Flush(); err != nil {
		t.Fatal(err)
	}

	others, inbox := subjectsOfOthers(own), "_INBOX."+own.Fleet+"."+own.Vehicle+".x"
	mayPublish, maySubscribe := map[string]bool{}, map[string]bool{inbox: true}
	for _, kind := range upKinds {
		mayPublish[Subject(own, Kind(kind))] = true
	}
	for _, kind := range downKinds {
		maySubscribe[Subject(own, Kind(kind))] = true
	}
	publishes := append(slices.Collect(maps.Keys(maySubscribe)), others...)
	subscribes := append(slices.Collect(maps.Keys(mayPublish)), others...)
	for _, subject := range slices.Concat(publishes, subscribes) {
		if !strings.HasPrefix(subject, inbox[:len(inbox)-1]) {
			subscribes = append(subscribes, wildcards(subject)...)
		}
	}
	slices.Sort(subscribes)
	subscribes = slices.Compact(subscribes)

	received := map[string]bool{}
	hear := func(msg *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		received[msg.Subject] = true
	}
	for _, subject := range slices.Concat(publishes, slices.Collect(maps.Keys(mayPublish))) {
		if err := conn.Publish(subject, []byte("from the vehicle")); err != nil {
			t.Fatal(err)
		}
	}
	for i, subject := range slices.Concat(subscribes, slices.Collect(maps.Keys(maySubscribe))) {
		subscribe := func() (*nats.Subscription, error) { return conn.Subscribe(subject, hear) }
		if i%2 == 1 {
			subscribe = func() (*nats.Subscription, error) { return conn.QueueSubscribe(subject, "queue", hear) }
		}
		if _, err := subscribe(); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	refused.Await(t, publishes, subscribes)
	for _, subject := range slices.Concat(others, slices.Collect(maps.Keys(maySubscribe)), slices.Collect(maps.Keys(mayPublish))) {
		if !strings.HasPrefix(subject, "$") { // carlet does not speak for the server
			if err := carlet.Publish(subject, []byte("from carlet")); err != nil {
				t.Fatal(err)
			}
		}
	}
	testplane.Eventually(t, "its own subjects work, both ways", func() error {
		mu.Lock()
		defer mu.Unlock()
		if !maps.Equal(heard, mayPublish) || !maps.Equal(received, maySubscribe) {
			return fmt.Errorf("heard %v of the vehicle, which received %v", heard, received)
		}
		return nil
	})
	time.Sleep(100 * time.Millisecond) // what should not arrive is given a while to
	mu.Lock()
	defer mu.Unlock()
	if !maps.Equal(heard, mayPublish) || !maps.Equal(received, maySubscribe) {
		t.Errorf("heard %v of the vehicle, which received %v", heard, received)
	}
	for subject := range mayPublish {
		if refused.Publish(subject) {
			t.Errorf("%s is its own, and refused", subject)
		}
	}
	t.Logf("%d publishes and %d subscriptions were refused", len(publishes), len(subscribes))
}
