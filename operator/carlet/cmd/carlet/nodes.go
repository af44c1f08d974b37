package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	vklog "github.com/virtual-kubelet/virtual-kubelet/log"
	"golang.org/x/net/netutil"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"parkade.dev/carlet/fleet"
	"parkade.dev/carlet/identity"
	"parkade.dev/carlet/internal/metrics"
	"parkade.dev/carlet/models"
	"parkade.dev/carlet/nodes"
	"parkade.dev/carlet/witness"
)

// What carlet may ask of the API server, in requests a second, for nodes and cells, and again for pods; client-go's default of 5 starves at a few cells. Two thousand
// cells served renew 200 Leases a second, which wait for nothing else: a status that comes late is late, a Lease that comes late is a
// node that is not Ready. Few of them come at once, or 2,000 cells taken over together would renew together ever after.
// Carlet's own Lease has a client of its own, so that it never waits behind them.
const (
	kubeQPS, kubeBurst   = 300, 600
	beatQPS, beatBurst   = 300, 50
	leaseQPS, leaseBurst = 20, 40
)

// leastCredentialsLife leaves a car time to renew; it is for tests, since a fleet would ask all the time.
const leastCredentialsLife = 10 * time.Second

const shutdownTime = 5 * time.Second

// modelStall is longer than any outage in which TCP still gets through, and short beside a day of a lost car's silence.
const modelStall = time.Minute

// publicConnections bounds those to models and enrolment, so that a fleet that comes at once leaves carlet the descriptors
// for the fleet link and the API server. Others wait to be accepted.
const publicConnections = 4096

type nodesFlags struct {
	kubeconfig, namespace, id         string
	nats, natsCreds, natsCA           string
	ca, cert, key                     string
	modelsListen, modelsAdvertise     string
	kubeletListen, kubeletAdvertise   string
	modelStore, urlKey, metricsListen string
	fleetKeys                         string
	modelDownloads, orderRate         int
	credentialsLife                   time.Duration
	statusInterval, cellGrace         time.Duration
	stagePercent                      int
	modelsElsewhere                   string
	verbose                           bool
}

func (f *nodesFlags) parse(args []string) error {
	flags := flag.NewFlagSet("carlet nodes", flag.ContinueOnError)
	flags.StringVar(&f.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "kubeconfig; default: $KUBECONFIG, else the pod's own account")
	flags.StringVar(&f.namespace, "namespace", "parkade-system", "namespace of the Leases of routers and carlets")
	flags.StringVar(&f.id, "id", "", "name of this carlet among those that share the cells out; default: the host's name")
	flags.StringVar(&f.nats, "nats", "", "URL of the fleet link, tls://HOST:PORT")
	flags.StringVar(&f.natsCreds, "nats-creds", "", "carlet's credentials for the fleet link")
	flags.StringVar(&f.natsCA, "nats-ca", "", "CA of the fleet link, PEM; default: the system's")
	flags.StringVar(&f.ca, "ca", "", "CA of the API server's client certificate, PEM")
	flags.StringVar(&f.cert, "cert", "", "certificate for models and the kubelet API, PEM")
	flags.StringVar(&f.key, "key", "", "key of the certificate, PEM")
	flags.StringVar(&f.modelsListen, "models-listen", "127.0.0.1:8443", "address on which models are served")
	flags.StringVar(&f.modelsAdvertise, "models-advertise", "", "HOST:PORT at which vehicles reach the models; default: --models-listen")
	flags.IntVar(&f.modelDownloads, "model-downloads", 512, "requests for models under way at a time; others are told when to ask again")
	flags.IntVar(&f.orderRate, "order-qps", nodes.DefaultOrderRate, "orders to vehicles a second; those whose order changed come before those that only want to hear it again")
	flags.StringVar(&f.kubeletListen, "kubelet-listen", "127.0.0.1:10250", "address on which the API server's calls are answered")
	flags.StringVar(&f.kubeletAdvertise, "kubelet-advertise", "127.0.0.1", "IP at which the API server reaches them")
	flags.StringVar(&f.modelStore, "model-store", "", "directory in which the operator stages models")
	flags.StringVar(&f.urlKey, "url-key", "", "file with the key that signs model URLs; made if missing; default: a key that all carlets with the same --fleet-keys have")
	flags.StringVar(&f.metricsListen, "metrics", "127.0.0.1:9466", "address of /metrics, /healthz and /readyz")
	flags.StringVar(&f.fleetKeys, "fleet-keys", "", "directory with vehicles.seed, pseudonyms.key and the vehicles' CA of carlet fleet init; without it nobody is enrolled or renewed")
	flags.DurationVar(&f.credentialsLife, "credentials-life", fleet.DefaultCredentialsLife, "how long a car's credentials live; it renews them after about two thirds")
	flags.DurationVar(&f.statusInterval, "status-interval", 2*time.Second, "least time between two writes of one cell's status")
	flags.StringVar(&f.modelsElsewhere, "models-elsewhere", "", "your own CDN (https://HOST/PATH) or bucket (s3+https://HOST/BUCKET/PATH, with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION) with the files of the model store; vehicles are redirected there")
	flags.IntVar(&f.stagePercent, "stage-percent", 20, "further vehicles that keep the model file of each order ready, fetched over WiFi or Ethernet: percent of its replicas, rounded up; 0 stages nothing")
	flags.DurationVar(&f.cellGrace, "cell-grace", fleet.CellGrace, "time for which vehicles of a deleted cell keep its orders, unless its pool is gone too")
	flags.BoolVar(&f.verbose, "verbose", false, "log at debug level")
	if err := parse(flags, args, "nats", "ca", "cert", "key", "model-store"); err != nil {
		return err
	}
	if f.urlKey == "" && f.fleetKeys == "" {
		return errors.New("--url-key is missing: without --fleet-keys there is no other key to sign model URLs with")
	}
	if err := f.nameItself(); err != nil {
		return err
	}
	if f.modelsAdvertise == "" {
		f.modelsAdvertise = f.modelsListen
	}
	if f.modelDownloads < 1 || f.orderRate < 1 {
		return fmt.Errorf("--model-downloads %d and --order-qps %d must be 1 at least", f.modelDownloads, f.orderRate)
	}
	if f.statusInterval < 100*time.Millisecond {
		return fmt.Errorf("--status-interval %s is under 100ms and would flood the API server", f.statusInterval)
	}
	if f.credentialsLife < leastCredentialsLife || f.credentialsLife > fleet.DefaultCredentialsLife {
		return fmt.Errorf("--credentials-life %s is not between %s and %s", f.credentialsLife, leastCredentialsLife, fleet.DefaultCredentialsLife)
	}
	if net.ParseIP(f.kubeletAdvertise) == nil {
		return fmt.Errorf("--kubelet-advertise %q is not an IP address", f.kubeletAdvertise)
	}
	return nil
}

// nameItself takes the host's name for the id; in a pod that is the pod's.
func (f *nodesFlags) nameItself() error {
	if f.id == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("--id: the host has no name: %w", err)
		}
		f.id = strings.ToLower(strings.NewReplacer(".", "-", "_", "-").Replace(host))
	}
	return fleet.CheckName("--id", f.id)
}

// serveNodes builds everything once and runs until the context ends. It unloads nothing on its way out.
func serveNodes(ctx context.Context, args []string) error {
	var f nodesFlags
	if err := f.parse(args); err != nil {
		return err
	}
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	vklog.L = nodes.LibraryLog(log)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	measured := metrics.New()
	api, err := openClients(f.kubeconfig)
	if err != nil {
		return err
	}
	listeners, address, err := f.listen(measured)
	if err != nil {
		return err
	}
	registry, wake := fleet.NewRegistry(), make(chan struct{}, 1)
	link, err := fleet.Dial(ctx, registry, fleet.LinkOptions{
		URL: f.nats, Credentials: f.natsCreds, CA: f.natsCA, Log: log,
		Wake: func() { nodes.Wake(wake) },
		Count: func(kind fleet.Kind, outcome fleet.Outcome) {
			measured.Messages.WithLabelValues(string(kind), string(outcome)).Inc()
		},
	})
	if err != nil {
		return err
	}
	measured.WatchLink(link.Connected)
	listener := &witness.Listener{
		Registry: registry, Now: time.Now, Log: log, Wake: func() { nodes.Wake(wake) },
		Count: func(source string, outcome fleet.Outcome) {
			measured.Witnesses.WithLabelValues(source, string(outcome)).Inc()
		},
	}
	office, err := f.openOffice(ctx, registry, listener, wake, measured, log)
	if err != nil {
		return err
	}
	if office != nil {
		listener.Find = office.Find // without it, witnesses can name cars by their pseudonyms alone
	}
	if err := listener.Listen(ctx, f.nats, f.natsCreds, f.natsCA); err != nil {
		return err
	}
	signer, err := f.signer(office)
	if err != nil {
		return err
	}
	store := models.NewStore(f.modelStore)
	carlet := nodes.New(nodes.Options{
		Kube: api.kube, Pods: api.pods, Custom: api.custom, Heartbeats: api.heartbeats, Leases: api.leases, ID: f.id, Namespace: f.namespace, Registry: registry, Link: link, Store: store, Signer: signer,
		Kubelet: address, StatusInterval: f.statusInterval, CellGrace: f.cellGrace, StagePercent: f.stagePercent, OrderRate: f.orderRate, Metrics: measured, Log: log,
	}, wake)
	var elsewhere *models.Elsewhere
	if f.modelsElsewhere != "" {
		if elsewhere, err = models.NewElsewhere(f.modelsElsewhere, &http.Client{}, os.Getenv("AWS_REGION")); err != nil {
			return err
		}
	}
	modelServer := &models.Server{
		Elsewhere: elsewhere,
		Store:     store, Signer: signer, Now: time.Now,
		Sent: func(bytes int) { measured.ModelBytes.Add(float64(bytes)) },
		Gate: models.NewGate(f.modelDownloads), TurnedAway: measured.ModelsTurnedAway.Inc, Stall: modelStall,
	}
	public := http.NewServeMux()
	modelServer.Register(public)
	if office != nil {
		identity.NewServer(office).Register(public)
	}
	servers := []*http.Server{
		serve(listeners.models, public, cancel),
		serve(listeners.kubelet, carlet.KubeletHandler(), cancel),
		serve(listeners.metrics, probes(measured, carlet, link, office), cancel),
	}
	log.Info("serving", "models", f.modelsAdvertise, "kubelet", address, "metrics", f.metricsListen)
	err = carlet.Run(ctx)
	for _, server := range servers {
		stopping, stop := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		_ = server.Shutdown(stopping)
		stop()
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

func (f *nodesFlags) signer(office *identity.Office) (*models.Signer, error) {
	if f.urlKey != "" {
		return models.OpenSigner(f.urlKey, f.modelsAdvertise)
	}
	return models.NewSigner(office.Issuer.URLKey(), f.modelsAdvertise), nil
}

// openOffice lets cars in and tells the registry of those that are out; nil without --fleet-keys.
func (f *nodesFlags) openOffice(ctx context.Context, registry *fleet.Registry, listener *witness.Listener, wake chan struct{}, measured *metrics.Metrics, log *slog.Logger) (*identity.Office, error) {
	if f.fleetKeys == "" {
		return nil, nil
	}
	issuer, err := fleet.OpenIssuer(f.fleetKeys, f.natsCreds)
	if err != nil {
		return nil, fmt.Errorf("--fleet-keys: %w", err)
	}
	measured.Ends("vehicles", issuer.Authority())
	then := func(act func(fleet.Key)) func(fleet.Key) {
		return func(key fleet.Key) {
			act(key)
			nodes.Wake(wake)
		}
	}
	office := &identity.Office{
		Issuer: issuer, Life: f.credentialsLife, Log: log, Now: time.Now,
		Revoked: then(registry.Revoke), Readmitted: then(registry.Readmit),
		Forgotten: then(func(key fleet.Key) { registry.Forget(key); listener.Forget(key) }),
		Count: func(way string, reason identity.Reason) {
			measured.Enrolments.WithLabelValues(way, string(reason)).Inc()
		},
	}
	return office, office.Open(ctx, f.nats, f.natsCreds, f.natsCA)
}

// clients are those of the API server, each with a rate of its own.
type clients struct {
	kube, pods, heartbeats, leases kubernetes.Interface
	custom                         dynamic.Interface
}

func openClients(kubeconfig string) (*clients, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	config.QPS, config.Burst, config.UserAgent = kubeQPS, kubeBurst, "carlet/"+nodes.Version
	var c clients
	if c.custom, err = dynamic.NewForConfig(config); err != nil {
		return nil, err
	}
	for _, each := range []struct {
		client     *kubernetes.Interface
		qps, burst int
	}{{&c.kube, kubeQPS, kubeBurst}, {&c.pods, kubeQPS, kubeBurst}, {&c.heartbeats, beatQPS, beatBurst}, {&c.leases, leaseQPS, leaseBurst}} {
		own := rest.CopyConfig(config)
		own.QPS, own.Burst = float32(each.qps), each.burst
		if *each.client, err = kubernetes.NewForConfig(own); err != nil {
			return nil, err
		}
	}
	return &c, nil
}

type listeners struct{ models, kubelet, metrics net.Listener }

// listen opens all ports before anything starts, so that a taken port is one clear sentence.
func (f *nodesFlags) listen(measured *metrics.Metrics) (listeners, nodes.Address, error) {
	none := nodes.Address{}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return listeners{}, none, fmt.Errorf("--cert and --key: %w", err)
	}
	measured.Ends("serving", pair.Leaf)
	text, err := os.ReadFile(f.ca)
	if err != nil {
		return listeners{}, none, fmt.Errorf("--ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return listeners{}, none, fmt.Errorf("--ca: %s has no certificate in it", f.ca)
	}
	// Nobody has to prove anything here: URLs are signed, and who enrols has no certificate yet.
	modelTLS := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	var open listeners
	if open.models, err = net.Listen("tcp", f.modelsListen); err != nil {
		return listeners{}, none, fmt.Errorf("--models-listen: %w", err)
	}
	open.models = tls.NewListener(netutil.LimitListener(open.models, publicConnections), modelTLS)
	if open.kubelet, err = tls.Listen("tcp", f.kubeletListen, nodes.KubeletTLS(pair, pool)); err != nil {
		return listeners{}, none, fmt.Errorf("--kubelet-listen: %w", err)
	}
	if open.metrics, err = net.Listen("tcp", f.metricsListen); err != nil {
		return listeners{}, none, fmt.Errorf("--metrics: %w", err)
	}
	_, port, err := net.SplitHostPort(open.kubelet.Addr().String())
	if err != nil {
		return listeners{}, none, err
	}
	number, err := strconv.ParseInt(port, 10, 32)
	return open, nodes.Address{IP: f.kubeletAdvertise, Port: int32(number)}, err
}

// nameless keeps the addresses of cars out of the log: the library names one for every handshake that fails.
type nameless struct{ io.Writer }

func (w nameless) Write(line []byte) (int, error) {
	if bytes.HasPrefix(line, []byte("http: TLS handshake error")) {
		return len(line), nil
	}
	return w.Writer.Write(line)
}

// serve answers on a listener; a server that ends by itself ends carlet.
func serve(listener net.Listener, handler http.Handler, cancel context.CancelCauseFunc) *http.Server {
	server := &http.Server{ErrorLog: stdlog.New(nameless{os.Stderr}, "", 0), Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			cancel(fmt.Errorf("server on %s ended: %w", listener.Addr(), err))
		}
	}()
	return server
}

// probes: healthz is about the process alone; readyz about knowing the orders and the fleet.
func probes(measured *metrics.Metrics, carlet *nodes.Carlet, link *fleet.Link, office *identity.Office) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(measured.Registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		switch {
		case !link.Ready():
			http.Error(w, "the fleet link is not up yet, or its stream is not read", http.StatusServiceUnavailable)
		case office != nil && !office.Ready():
			http.Error(w, "the fleet's roll is not read yet", http.StatusServiceUnavailable)
		case !carlet.Ready():
			http.Error(w, "the API server has not listed cells, pools and workloads yet", http.StatusServiceUnavailable)
		default:
			fmt.Fprintln(w, "ok")
		}
	})
	return mux
}
