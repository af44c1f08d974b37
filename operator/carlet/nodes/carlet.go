package nodes

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"parkade.dev/carlet/fleet"
	"parkade.dev/carlet/internal/metrics"
	"parkade.dev/carlet/models"
)

// Version of carlet, shown as the version of its nodes.
const Version = "v0.1.0"

// The rhythm of the cycle: changes are gathered for settle, or for as long as the last cycle took, so that a fleet in which
// everybody speaks at once costs half a core and not a whole one; time alone (presence, files that were staged) is looked
// at each tick.
const (
	settle = 50 * time.Millisecond
	tick   = time.Second
)

// Options are what a Carlet is made of; all of it is built once by the caller.
type Options struct {
	Kube           kubernetes.Interface
	Pods           kubernetes.Interface // a client of their own: thousands of pods must not hold up nodes and leases
	Custom         dynamic.Interface
	Leases         kubernetes.Interface // for carlet's own Lease, whose renewal waits for nothing else
	Heartbeats     kubernetes.Interface // for the Leases of nodes, whose renewal waits for no status
	ID             string               // no other carlet has it
	Namespace      string               // of the Leases of routers and carlets
	Registry       *fleet.Registry
	Link           *fleet.Link
	Store          models.Store
	Signer         *models.Signer
	Kubelet        Address
	StatusInterval time.Duration
	CellGrace      time.Duration
	StagePercent   int
	OrderRate      int // orders a second, after as many at once; 0 for DefaultOrderRate
	Metrics        *metrics.Metrics
	Log            *slog.Logger
}

// DefaultOrderRate is what a carlet and a nats-server do beside all else: an order costs carlet some 20 µs of processor.
const DefaultOrderRate = 2000

// Carlet runs the cycle: gather, decide, tell vehicles, show facts.
type Carlet struct {
	Options
	sources *sources
	writer  *cellWriter
	pods    *pods
	journal *journal
	orders  *fleet.LastOrders
	decider *fleet.Decider
	member  *member
	pace    *rate.Limiter // of orders
	wake    chan struct{}
	since   time.Time
	cells   map[string]*cellNode
	untaint chan string
	joined  bool // its Lease is kept
	ready   atomic.Bool
}

// New assembles a Carlet; wake is shared with the link, which signals it when a vehicle spoke.
func New(options Options, wake chan struct{}) *Carlet {
	if options.OrderRate == 0 {
		options.OrderRate = DefaultOrderRate
	}
	s := newSources(options.Kube, options.Custom, options.Namespace, options.Log)
	reach := &reach{lostFor: options.Link.LostFor}
	return &Carlet{
		member: newMember(options.Leases.CoordinationV1().Leases(options.Namespace), options.ID, options.ID+"_"+string(uuid.NewUUID()),
			reach.vehicles, func() { Wake(wake) }, options.Log),
		Options: options,
		sources: s,
		writer: &cellWriter{
			custom: options.Custom, sources: s, interval: options.StatusInterval, metrics: options.Metrics,
			log: options.Log, changed: make(chan struct{}, 1), written: map[string]time.Time{}, seen: map[string]compared{},
		},
		pods:    newPods(options.Pods, s, options.Kubelet, options.Log),
		journal: newJournal(),
		orders:  fleet.NewLastOrders(options.CellGrace),
		decider: fleet.NewDecider(),
		pace:    rate.NewLimiter(rate.Limit(options.OrderRate), options.OrderRate),
		wake:    wake,
		since:   time.Now(),
		cells:   map[string]*cellNode{},
		untaint: make(chan string, 64),
	}
}

// KubeletHandler answers the API server's calls for logs.
func (c *Carlet) KubeletHandler() http.Handler { return c.pods.kubeletHandler(c.journal) }

// Ready says that the first cycle is done: orders and vehicles are known.
func (c *Carlet) Ready() bool { return c.ready.Load() }

// Wake asks for a cycle.
func Wake(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// Run runs cycles until the context ends. Nodes, pods and vehicles are left as they are.
func (c *Carlet) Run(ctx context.Context) error {
	deleted := make(chan string, 1024)
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { c.checkTaints(object) },
		UpdateFunc: func(_, object any) { c.checkTaints(object) },
		DeleteFunc: func(object any) {
			if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
				deleted <- key
			}
		},
	}
	if err := c.sources.start(ctx, func() { Wake(c.wake) }, handler); err != nil {
		return err
	}
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 2)
	go func() { failed <- c.pods.run(running) }()
	joined := make(chan struct{})
	close(joined)
	defer func() { // last of all: whoever takes over may begin at once
		cancel()
		<-joined
		if c.joined {
			c.member.leave(ctx)
		}
	}()
	go c.writer.run(running)
	go c.keepTaints(running)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	defer c.stopNodes()
	took, ended := time.Duration(0), time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case name := <-deleted:
			if cell := c.cells[name]; cell != nil {
				cell.deleted()
			}
			continue
		case <-ticker.C:
			if time.Since(ended) < min(took, 2*tick) {
				continue // a cycle of a large fleet is followed by as long a pause
			}
		case <-c.wake:
			time.Sleep(min(max(settle, took), tick)) // further changes join this cycle
		}
		if c.Link.Ready() {
			began := time.Now()
			if !c.joined {
				c.joined, joined = true, make(chan struct{})
				go func(left chan struct{}) {
					defer close(left)
					if err := c.member.keep(running); err != nil {
						failed <- err
					}
				}(joined)
			}
			c.cycle(running)
			ended = time.Now()
			took = ended.Sub(began)
		}
	}
}

// cycle is one pass over the fleet.
func (c *Carlet) cycle(ctx context.Context) {
	began := time.Now()
	share, until, known, release := c.member.using(began)
	if !known {
		release()
		return
	}
	// 1. Gather.
	cells, world := c.gather(began)
	world.Share = share
	// 2. Decide.
	decision := c.decider.Decide(world)
	// 3. Tell vehicles.
	c.tell(decision, began, share.Term, until)
	release()
	// 4. Show nodes, cells, pods, counts.
	c.showNodes(ctx, cells, decision, began)
	c.removeOrphans(ctx, cells, share)
	cells = slices.DeleteFunc(cells, func(cell cellIdentity) bool { return !share.OwnsCell(cell.Name) })
	c.writer.show(cells, decision.Cells)
	c.journal.record(decision, began)
	c.pods.show(decision.Cells)
	c.showPresence(decision.Presence)
	c.Metrics.Cells.Set(float64(len(cells)))
	c.Metrics.CycleSeconds.Observe(time.Since(began).Seconds())
	c.ready.Store(true)
}

func (c *Carlet) showPresence(counts map[fleet.PoolPresence]int) {
	c.Metrics.Vehicles.Reset()
	c.Metrics.Evidence.Reset()
	for count, number := range counts {
		c.Metrics.Vehicles.WithLabelValues(count.Pool, string(count.Presence)).Add(float64(number))
		c.Metrics.Evidence.WithLabelValues(count.Pool, string(count.Presence), string(count.By)).Set(float64(number))
	}
	for change, number := range c.Registry.Changes() {
		c.Metrics.Changes.WithLabelValues(change.Pool, string(change.Presence), string(change.By)).Add(float64(number))
	}
}

func (c *Carlet) gather(now time.Time) ([]cellIdentity, fleet.World) {
	cells, heardUntil := c.sources.cells(), c.Link.ListenedUntil(now)
	world := fleet.World{
		Now:          heardUntil,
		Pools:        c.sources.pools(),
		Workloads:    c.sources.workloads(),
		Routers:      c.sources.currentRouters(),
		Staged:       map[string]int64{},
		Vehicles:     c.Registry.Vehicles(),
		StagePercent: c.StagePercent,
		Malformed:    c.Registry.Malformed(heardUntil.Add(-fleet.MalformedMemory)),
	}
	for i := range cells {
		cells[i].Cordoned = c.sources.cordoned(cells[i].Name)
		world.Cells = append(world.Cells, cells[i].Cell)
	}
	world.Cells = c.orders.Keep(world.Cells, world.Pools, now)
	for _, cell := range world.Cells {
		for _, order := range cell.Orders {
			world.Staged[order.Digest] = c.Store.Size(order.Digest)
		}
	}
	return cells, world
}

// tell sends its order to every vehicle that needs to hear it, with URLs for what is in the store.
// After until, they may be another carlet's to tell.
func (c *Carlet) tell(decision fleet.Decision, now time.Time, term int64, until time.Time) {
	orders, waiting := c.Registry.Commit(decision, now, models.URLLife/2, int(c.pace.TokensAt(now)))
	c.pace.AllowN(now, len(orders))
	c.Metrics.OrdersWaiting.Set(float64(waiting))
	if waiting > 0 {
		Wake(c.wake)
	}
	unsent, reason := 0, error(nil)
	for _, told := range orders {
		key := told.Vehicle.Key
		if !until.IsZero() && !time.Now().Before(until) {
			c.Registry.Untold(key)
			continue
		}
		desired := *told.Desired // the decision is remembered without term and URLs
		desired.Term = term
		desired.Assignments = slices.Clone(desired.Assignments)
		for i, assignment := range desired.Assignments {
			if assignment.Bytes > 0 {
				desired.Assignments[i].URL = c.Signer.URL(assignment.Digest, now)
			}
		}
		desired.Stage = slices.Clone(desired.Stage)
		for i, file := range desired.Stage {
			desired.Stage[i].URL = c.Signer.URL(file.Digest, now)
		}
		if err := c.Link.Send(key, desired); err != nil {
			c.Registry.Untold(key)
			unsent, reason = unsent+1, err
			continue
		}
		c.Metrics.OrdersSent.Inc()
		c.Log.Debug("told", "vehicle", alias(key), "revision", short(desired.Revision), "assignments", len(desired.Assignments))
	}
	if unsent > 0 {
		c.Log.Warn("orders were not sent and are tried again", "orders", unsent, "error", reason)
	}
}

// showNodes keeps one node for every cell that is served, and leaves those of others as they are.
func (c *Carlet) showNodes(ctx context.Context, cells []cellIdentity, decision fleet.Decision, now time.Time) {
	current := map[string]bool{}
	for _, cell := range cells {
		facts, served := decision.Cells[cell.Name]
		if !served {
			continue
		}
		current[cell.Name] = true
		running := c.cells[cell.Name]
		if running == nil {
			since := c.readySince(cell.Name, now)
			c.cells[cell.Name] = startCellNode(ctx, c.Kube, c.Heartbeats, c.Log, since, nodeFor(cell, facts, c.Kubelet, since, now))
			continue
		}
		if c.sources.missing(cell.Name) {
			running.vanished(now)
		}
		running.set(nodeFor(cell, facts, c.Kubelet, running.since, now))
	}
	var ended []*cellNode
	for name, running := range c.cells {
		if !current[name] {
			running.cancel()
			ended = append(ended, running)
			delete(c.cells, name)
		}
	}
	for _, running := range ended {
		<-running.done
	}
}

// readySince is since when the node of a cell has been Ready, if another carlet, or another life of this one, kept it so.
func (c *Carlet) readySince(name string, now time.Time) time.Time {
	node, err := c.sources.nodes.Lister().Get(name)
	if err != nil {
		return now
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
			return condition.LastTransitionTime.Time
		}
	}
	return now
}

// removeOrphans deletes nodes that carlets made for cells that no longer exist.
func (c *Carlet) removeOrphans(ctx context.Context, cells []cellIdentity, share *fleet.Share) {
	current := make(map[string]bool, len(cells))
	for _, cell := range cells {
		current[cell.Name] = true
	}
	nodes, err := c.sources.nodes.Lister().List(labels.Everything())
	if err != nil {
		return
	}
	for _, node := range nodes {
		if current[node.Name] || !share.OwnsCell(node.Name) || node.Labels[labelCell] != node.Name || node.DeletionTimestamp != nil {
			continue
		}
		options := metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(node.UID))}
		err := c.Kube.CoreV1().Nodes().Delete(ctx, node.Name, options)
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			c.Log.Warn("node of a deleted cell is still there and will be tried again", "node", node.Name, "error", err)
		}
	}
}

func (c *Carlet) stopNodes() {
	for _, running := range c.cells {
		running.cancel()
	}
	for _, running := range c.cells {
		<-running.done
	}
}

func (c *Carlet) checkTaints(object any) {
	node, ok := object.(*corev1.Node)
	if !ok || node.Labels[labelCell] != node.Name || len(missingTaints(node)) == 0 {
		return
	}
	select {
	case c.untaint <- node.Name:
	default: // many at once: the next event of the node, each minute at the latest, asks again
	}
}

func (c *Carlet) keepTaints(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case name := <-c.untaint:
			if err := restoreTaints(ctx, c.Kube, name); err != nil {
				c.Log.Warn("taints of a node are not restored yet", "node", name, "error", err)
			}
		}
	}
}
