package nodes

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/virtual-kubelet/virtual-kubelet/node"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"
)

// How a node is kept: as a kubelet keeps its own, with a Lease of 40 s renewed each 10 s as heartbeat, its whole status each 5 minutes,
// and changes of nothing but numbers of vehicles once in 10 s; and a pause before a failed start is repeated.
const (
	leaseSeconds   = 40
	statusInterval = 5 * time.Minute
	countsPause    = 10 * time.Second
	updatePause    = 2 * time.Second // between two changes, of which the newest is written
	restartPause   = time.Second
	missingFor     = 10 * time.Second // before a node that was made, and of which nobody hears, is made again
)

// cellNode keeps the node of one cell: it runs virtual-kubelet's node controller, and runs it anew when the node was
// deleted by somebody or the controller ended.
type cellNode struct {
	kube    kubernetes.Interface
	beats   kubernetes.Interface // renews the Lease
	log     *slog.Logger
	since   time.Time
	cancel  context.CancelFunc
	done    chan struct{}
	again   chan struct{}
	updates chan *corev1.Node

	mu   sync.Mutex
	want *corev1.Node
	made time.Time // when the node controller had made the node, or found it; zero until then
}

func startCellNode(ctx context.Context, kube, beats kubernetes.Interface, log *slog.Logger, since time.Time, want *corev1.Node) *cellNode {
	running, cancel := context.WithCancel(ctx)
	c := &cellNode{
		kube: kube, beats: beats, log: log.With("cell", want.Name), since: since, cancel: cancel, want: want,
		done: make(chan struct{}), again: make(chan struct{}, 1), updates: make(chan *corev1.Node, 1),
	}
	go c.run(running)
	return c
}

// set is called with what the node should be; only a difference is written.
func (c *cellNode) set(want *corev1.Node) {
	c.mu.Lock()
	same := sameNode(c.want, want)
	c.want = want
	c.mu.Unlock()
	if same {
		return
	}
	select {
	case <-c.updates: // the newest supersedes
	default:
	}
	select {
	case c.updates <- want:
	default:
	}
}

// deleted is called when the node has vanished from the API server.
func (c *cellNode) deleted() {
	select {
	case c.again <- struct{}{}:
	default:
	}
}

// vanished is called in each cycle that finds no node. A watch that breaks may tell of a node made and deleted meanwhile neither.
func (c *cellNode) vanished(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.made.IsZero() && now.Sub(c.made) > missingFor {
		c.made = time.Time{}
		c.deleted()
	}
}

func (c *cellNode) run(ctx context.Context) {
	defer close(c.done)
	for ctx.Err() == nil {
		c.serve(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(restartPause):
		}
	}
}

// serve runs one node controller until the context ends, the node is deleted, or the controller fails.
func (c *cellNode) serve(ctx context.Context) {
	serving, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	want := c.want.DeepCopy()
	c.mu.Unlock()
	controller, err := node.NewNodeController(c, want, c.kube.CoreV1().Nodes(),
		node.WithNodeEnableLeaseV1(c.beats.CoordinationV1().Leases(corev1.NamespaceNodeLease), leaseSeconds),
		node.WithNodeStatusUpdateInterval(statusInterval))
	if err != nil {
		c.log.Error("node controller cannot be made", "error", err)
		return
	}
	go func() {
		if err := controller.Run(serving); err != nil && serving.Err() == nil {
			c.log.Warn("node controller ended and is started anew", "error", err)
		}
	}()
	defer c.setMade(time.Time{})
	made := controller.Ready()
	for {
		select {
		case <-made:
			made = nil
			c.setMade(time.Now())
			continue
		case <-controller.Done():
		case <-c.again:
			c.log.Info("node was deleted and is made again")
			cancel()
			<-controller.Done()
		case <-ctx.Done():
			<-controller.Done()
		}
		return
	}
}

func (c *cellNode) setMade(at time.Time) {
	c.mu.Lock()
	c.made = at
	c.mu.Unlock()
}

// Ping implements node.NodeProvider: carlet serves the cell as long as it runs.
func (c *cellNode) Ping(ctx context.Context) error { return ctx.Err() }

// NotifyNodeStatus implements node.NodeProvider.
func (c *cellNode) NotifyNodeStatus(ctx context.Context, notify func(*corev1.Node)) {
	go func() {
		var shown, want *corev1.Node
		var at time.Time
		for {
			var due <-chan time.Time
			if want != nil {
				due = time.After(time.Until(at.Add(pauseBefore(shown, want))))
			}
			select {
			case <-ctx.Done():
				return
			case want = <-c.updates:
			case <-due:
				notify(want.DeepCopy())
				shown, at, want = want, time.Now(), nil
			}
		}
	}()
}

// pauseBefore is the time from the last change to the next.
func pauseBefore(shown, want *corev1.Node) time.Duration {
	if shown != nil && standingDigest(shown) == standingDigest(want) {
		return countsPause
	}
	return updatePause
}

// restoreTaints puts back our taints where somebody took them off; whatever else is in the spec, such as a cordon, is
// the user's.
func restoreTaints(ctx context.Context, kube kubernetes.Interface, name string) error {
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		current, err := kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		missing := missingTaints(current)
		if len(missing) == 0 {
			return nil
		}
		current.Spec.Taints = append(current.Spec.Taints, missing...)
		_, err = kube.CoreV1().Nodes().Update(ctx, current, metav1.UpdateOptions{FieldManager: fieldManager})
		return err
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func missingTaints(current *corev1.Node) []corev1.Taint {
	var missing []corev1.Taint
	for _, ours := range cellTaints() {
		found := false
		for _, taint := range current.Spec.Taints {
			found = found || taint.MatchTaint(&ours)
		}
		if !found {
			missing = append(missing, ours)
		}
	}
	return missing
}
