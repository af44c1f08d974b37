package nodes

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	coordinationlisters "k8s.io/client-go/listers/coordination/v1"
	"k8s.io/client-go/tools/cache"

	"parkade.dev/carlet/fleet"
)

// sources are carlet's views of the API server: shared informers that list once and then watch.
type sources struct {
	custom    dynamicinformer.DynamicSharedInformerFactory
	fleetSide informers.SharedInformerFactory // pods and nodes of cells
	leaseSide informers.SharedInformerFactory // Leases of routers
	pods      coreinformers.PodInformer
	nodes     coreinformers.NodeInformer
	leases    coordinationlisters.LeaseLister
	routers   []fleet.Router // the last that were known
	log       *slog.Logger
	warned    map[string]string // object to the resource version whose defect was logged
	good      map[string]parsed // object as it could be read last
}

func newSources(kube kubernetes.Interface, custom dynamic.Interface, namespace string, log *slog.Logger) *sources {
	byLabel := func(selector string) informers.SharedInformerOption {
		return informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = selector })
	}
	s := &sources{
		custom:    dynamicinformer.NewDynamicSharedInformerFactory(custom, 0),
		fleetSide: informers.NewSharedInformerFactoryWithOptions(kube, 0, byLabel(labelCell)),
		leaseSide: informers.NewSharedInformerFactoryWithOptions(kube, 0, byLabel(labelComponent+"=router"), informers.WithNamespace(namespace)),
		log:       log, warned: map[string]string{}, good: map[string]parsed{},
	}
	s.pods, s.nodes = s.fleetSide.Core().V1().Pods(), s.fleetSide.Core().V1().Nodes()
	s.leases = s.leaseSide.Coordination().V1().Leases().Lister()
	return s
}

// parsed is an object that was read, and of which version; nothing changes it.
type parsed struct {
	version string
	value   any
}

// start begins to watch and returns when everything was listed once, or the context ends.
func (s *sources) start(ctx context.Context, wake func(), nodes cache.ResourceEventHandler) error {
	waking := cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { wake() }, UpdateFunc: func(any, any) { wake() }, DeleteFunc: func(any) { wake() },
	}
	watched := []cache.SharedIndexInformer{
		s.leaseSide.Coordination().V1().Leases().Informer(),
		s.custom.ForResource(cellsResource).Informer(),
		s.custom.ForResource(poolsResource).Informer(),
		s.custom.ForResource(workloadsResource).Informer(),
	}
	for _, informer := range watched {
		if _, err := informer.AddEventHandler(waking); err != nil {
			return err
		}
	}
	if _, err := s.nodes.Informer().AddEventHandler(nodes); err != nil {
		return err
	}
	watched = append(watched, s.nodes.Informer(), s.pods.Informer())
	s.custom.Start(ctx.Done())
	s.fleetSide.Start(ctx.Done())
	s.leaseSide.Start(ctx.Done())
	for _, informer := range watched {
		if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
			return fmt.Errorf("carlet was stopped before the API server had answered: %w", context.Cause(ctx))
		}
	}
	return nil
}

func (s *sources) list(resource schema.GroupVersionResource) []runtime.Object {
	objects, err := s.custom.ForResource(resource).Lister().List(labels.Everything())
	if err != nil { // a lister of a local index does not fail
		panic(err)
	}
	return objects
}

// cells are all cells; one that cannot be read any more is taken as it was, so that its vehicles keep their orders.
func (s *sources) cells() []cellIdentity { return readAll(s, cellsResource, parseCell) }

func (s *sources) pools() []fleet.Pool { return readAll(s, poolsResource, parsePool) }

func (s *sources) workloads() map[string]fleet.Workload {
	byName := map[string]fleet.Workload{}
	for _, workload := range readAll(s, workloadsResource, parseWorkload) {
		byName[workload.Name] = workload
	}
	return byName
}

func readAll[T any](s *sources, resource schema.GroupVersionResource, read func(runtime.Object) (T, error)) []T {
	objects := s.list(resource)
	values := make([]T, 0, len(objects))
	for _, object := range objects {
		name, version := objectName(resource, object)
		before := s.good[name]
		value, known := before.value.(T)
		if !known || version == "" || before.version != version {
			fresh, err := read(object)
			if err == nil {
				s.good[name], value = parsed{version, fresh}, fresh
			} else {
				s.warn(name, object, err)
				if !known {
					continue
				}
			}
		}
		values = append(values, value)
	}
	return values
}

func objectName(resource schema.GroupVersionResource, object runtime.Object) (name, version string) {
	meta, err := meta.Accessor(object)
	if err != nil {
		return resource.Resource, ""
	}
	return resource.Resource + "/" + meta.GetNamespace() + "/" + meta.GetName(), meta.GetResourceVersion()
}

func (s *sources) warn(name string, object runtime.Object, err error) {
	meta, metaErr := meta.Accessor(object)
	if metaErr != nil || s.warned[name] == meta.GetResourceVersion() {
		return
	}
	s.warned[name] = meta.GetResourceVersion()
	s.log.Warn("object cannot be read; it is left aside, or taken as it was", "object", name, "error", err)
}

// currentRouters are the routers with a Lease; when all Leases are gone, those known last.
func (s *sources) currentRouters() []fleet.Router {
	leases, err := s.leases.List(labels.Everything())
	if err != nil {
		return s.routers
	}
	var found []fleet.Router
	for _, lease := range leases {
		if router, ok := parseRouter(lease); ok {
			found = append(found, router)
		}
	}
	if len(found) > 0 {
		s.routers = found
	}
	return s.routers
}

// cordoned says whether the user of a cell's node wants nothing more to be put there.
func (s *sources) cordoned(cell string) bool {
	node, err := s.nodes.Lister().Get(cell)
	return err == nil && node.Spec.Unschedulable
}

// missing says whether the API server has no such node, as far as was heard.
func (s *sources) missing(cell string) bool {
	_, err := s.nodes.Lister().Get(cell)
	return apierrors.IsNotFound(err)
}

// isFace says whether a pod shows a workload in a cell. The answer never changes in its life, since
// nodeName does not; the pod controller of virtual-kubelet relies on that.
func isFace(pod *corev1.Pod) bool {
	cell := pod.Labels[labelCell]
	return cell != "" && pod.Spec.NodeName == cell
}

// workloadOf is namespace/name of the workload a pod shows.
func workloadOf(pod *corev1.Pod) string {
	return pod.Namespace + "/" + pod.Labels[labelWorkload]
}

// conditionTime is now in whole seconds, as the API server stores it.
func conditionTime(now time.Time) metav1.Time {
	return metav1.NewTime(now.Truncate(time.Second))
}
