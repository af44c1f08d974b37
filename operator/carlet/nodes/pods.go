package nodes

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/virtual-kubelet/virtual-kubelet/errdefs"
	"github.com/virtual-kubelet/virtual-kubelet/node"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"

	"parkade.dev/carlet/fleet"
)

const (
	podWorkers   = 4
	podResync    = time.Minute
	leastRetry   = 5 * time.Millisecond
	longestRetry = 30 * time.Second
	showRest     = 4 // times as long as it took to show all pods passes before the next
	eventsSource = "carlet"
)

// pods implements virtual-kubelet's provider for the pods of all cells. It shows; it never loads or unloads anything.
type pods struct {
	kube    kubernetes.Interface
	sources *sources
	address Address
	log     *slog.Logger
	refresh chan struct{}

	mu     sync.Mutex
	known  map[string]*corev1.Pod
	facts  map[string]fleet.CellFacts
	notify func(*corev1.Pod)
}

func newPods(kube kubernetes.Interface, s *sources, address Address, log *slog.Logger) *pods {
	return &pods{
		kube: kube, sources: s, address: address, log: log, refresh: make(chan struct{}, 1),
		known: map[string]*corev1.Pod{}, facts: map[string]fleet.CellFacts{},
	}
}

// run runs one pod controller for the pods of all nodes until the context ends.
func (p *pods) run(ctx context.Context) error {
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	defer broadcaster.Shutdown()
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: p.kube.CoreV1().Events("")})
	// Never started, so always empty: carlet may not read Secrets, and faces of workloads refer to none.
	empty := informers.NewSharedInformerFactory(p.kube, 0).Core().V1()
	// The library's own limit, 10 pods a second, is meant for one node, and it gives a pod up after 20 failures.
	limiter := func() workqueue.RateLimiter {
		return workqueue.NewItemExponentialFailureRateLimiter(leastRetry, longestRetry)
	}
	again := func(context.Context, string, int, time.Time, error) (*time.Duration, error) { return nil, nil }
	controller, err := node.NewPodController(node.PodControllerConfig{
		PodClient:          servedPods{p.kube.CoreV1(), p},
		PodInformer:        p.sources.pods,
		EventRecorder:      broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: eventsSource}),
		Provider:           p,
		ConfigMapInformer:  empty.ConfigMaps(),
		SecretInformer:     empty.Secrets(),
		ServiceInformer:    empty.Services(),
		PodEventFilterFunc: func(_ context.Context, pod *corev1.Pod) bool { return isFace(pod) },

		SyncPodsFromKubernetesRateLimiter:        limiter(),
		SyncPodsFromKubernetesShouldRetryFunc:    again,
		DeletePodsFromKubernetesRateLimiter:      limiter(),
		DeletePodsFromKubernetesShouldRetryFunc:  again,
		SyncPodStatusFromProviderRateLimiter:     limiter(),
		SyncPodStatusFromProviderShouldRetryFunc: again,
	})
	if err != nil {
		return err
	}
	go p.keepShowing(ctx, controller)
	return controller.Run(ctx, podWorkers)
}

// show takes over new facts.
func (p *pods) show(facts map[string]fleet.CellFacts) {
	p.mu.Lock()
	p.facts = facts
	p.mu.Unlock()
	p.wake()
}

func (p *pods) wake() {
	select {
	case p.refresh <- struct{}{}:
	default:
	}
}

// keepShowing writes the status of pods that differ from the facts: when facts change, and all of them each minute,
// because the library forgets what somebody else changed.
func (p *pods) keepShowing(ctx context.Context, controller *node.PodController) {
	select {
	case <-ctx.Done():
		return
	case <-controller.Ready():
	}
	tick := time.NewTicker(podResync)
	defer tick.Stop()
	for {
		began := time.Now()
		p.showAll()
		rest := time.After(showRest * time.Since(began)) // the library compares slowly; what changes meanwhile is shown together
		select {
		case <-ctx.Done():
			return
		case <-rest:
		}
		select {
		case <-ctx.Done():
			return
		case <-p.refresh:
		case <-tick.C:
		}
	}
}

func (p *pods) showAll() {
	current, err := p.sources.pods.Lister().List(labels.Everything())
	if err != nil {
		p.log.Error("pods cannot be listed", "error", err)
		return
	}
	for _, pod := range current {
		if !isFace(pod) || pod.DeletionTimestamp != nil || ended(pod) || !p.serves(pod.Spec.NodeName) {
			continue
		}
		status := p.statusOf(pod)
		if equality.Semantic.DeepEqual(status, pod.Status) {
			continue
		}
		p.mu.Lock()
		notify := p.notify
		_, known := p.known[podKey(pod)]
		p.mu.Unlock()
		if known && notify != nil {
			shown := pod.DeepCopy()
			shown.Status = status
			notify(shown)
		}
	}
}

// serves says whether this carlet knows what the pods of a cell show.
func (p *pods) serves(cell string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, served := p.facts[cell]
	return served
}

// servedPods keeps the library from writing the status of a pod whose cell another carlet serves by now: it may repeat what
// it was given last, when somebody else changes the pod.
type servedPods struct {
	typedcorev1.PodsGetter
	by *pods
}

func (s servedPods) Pods(namespace string) typedcorev1.PodInterface {
	return servedPodsOf{s.PodsGetter.Pods(namespace), s.by}
}

type servedPodsOf struct {
	typedcorev1.PodInterface
	by *pods
}

func (s servedPodsOf) UpdateStatus(ctx context.Context, pod *corev1.Pod, options metav1.UpdateOptions) (*corev1.Pod, error) {
	if !s.by.serves(pod.Spec.NodeName) {
		return pod, nil
	}
	return s.PodInterface.UpdateStatus(ctx, pod, options)
}

func ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func (p *pods) statusOf(pod *corev1.Pod) corev1.PodStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	var fact *fleet.AssignmentFact
	for i, candidate := range p.facts[pod.Spec.NodeName].Assignments {
		if candidate.Workload == workloadOf(pod) {
			fact = &p.facts[pod.Spec.NodeName].Assignments[i]
		}
	}
	status := podStatus(pod, fact, p.address.IP, time.Now())
	status.ObservedGeneration = pod.Status.ObservedGeneration
	return status
}

func podKey(pod *corev1.Pod) string { return pod.Namespace + "/" + pod.Name }

// CreatePod adopts a pod: the vehicles hold what VehicleCell.spec orders, whether it exists or not.
func (p *pods) CreatePod(_ context.Context, pod *corev1.Pod) error {
	p.mu.Lock()
	p.known[podKey(pod)] = pod.DeepCopy()
	p.mu.Unlock()
	p.wake()
	return nil
}

// UpdatePod remembers the new labels and tolerations.
func (p *pods) UpdatePod(ctx context.Context, pod *corev1.Pod) error { return p.CreatePod(ctx, pod) }

// DeletePod forgets a pod and lets it go from the API server at once: no process has to end first.
func (p *pods) DeletePod(ctx context.Context, pod *corev1.Pod) error {
	p.mu.Lock()
	_, known := p.known[podKey(pod)]
	delete(p.known, podKey(pod))
	p.mu.Unlock()
	if pod.DeletionTimestamp != nil {
		now := *metav1.NewDeleteOptions(0)
		now.Preconditions = metav1.NewUIDPreconditions(string(pod.UID))
		err := p.kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, now)
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return err
		}
	}
	if !known {
		return errdefs.NotFoundf("pod %s is not shown here", podKey(pod))
	}
	return nil
}

// GetPod is a pod as it was adopted.
func (p *pods) GetPod(_ context.Context, namespace, name string) (*corev1.Pod, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pod, ok := p.known[namespace+"/"+name]
	if !ok {
		return nil, errdefs.NotFoundf("pod %s/%s is not shown here", namespace, name)
	}
	return pod.DeepCopy(), nil
}

// GetPodStatus is what the facts say of a pod.
func (p *pods) GetPodStatus(ctx context.Context, namespace, name string) (*corev1.PodStatus, error) {
	pod, err := p.GetPod(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	status := p.statusOf(pod)
	return &status, nil
}

// GetPods are all pods adopted so far; none after a restart, so that nothing dangles.
func (p *pods) GetPods(context.Context) ([]*corev1.Pod, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*corev1.Pod, 0, len(p.known))
	for _, pod := range p.known {
		all = append(all, pod.DeepCopy())
	}
	return all, nil
}

// NotifyPods takes the callback by which statuses reach the API server.
func (p *pods) NotifyPods(_ context.Context, notify func(*corev1.Pod)) {
	p.mu.Lock()
	p.notify = notify
	p.mu.Unlock()
}
