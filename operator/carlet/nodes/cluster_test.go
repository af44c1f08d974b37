package nodes_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"parkade.dev/carlet/fleet"
	"parkade.dev/carlet/internal/testplane"
)

const (
	repository = "../../.."
	cellName   = "home-0"
	namespace  = "vision"
	workload   = "vision/sign-reader"
	digest     = "3f79bb7b435b05321651daefd374cdc681dc06faa65e374e38337b88ca046dea"
	podName    = "sign-reader-" + cellName
)

// rig is a cluster, a fleet link, and a carlet process on them.
type rig struct {
	*testplane.Cluster
	whole   *testing.T // what is started lives as long as the whole test, also when a step starts it anew
	dir     string
	binary  string
	nats    int
	models  int
	metrics int
	kubelet int
	carlet  *testplane.Process
	link    *testplane.Process
}

func resource(plural string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "parkade.dev", Version: "v1alpha1", Resource: plural}
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{
		whole: t, Cluster: testplane.StartCluster(t), dir: t.TempDir(), nats: testplane.FreePort(t),
		models: testplane.FreePort(t), metrics: testplane.FreePort(t), kubelet: testplane.FreePort(t),
	}
	r.binary = filepath.Join(r.dir, "carlet")
	r.run(t, "go", "build", "-o", r.binary, "../cmd/carlet")
	server := r.Authority.Issue(t, "nats", "")
	r.Authority.Issue(t, "carlet", "")
	r.run(t, r.binary, "fleet", "init", "--dir="+r.path("fleet"), fmt.Sprintf("--nats-port=%d", r.nats),
		"--jetstream-dir="+r.path("jetstream"), "--tls-cert="+server.Cert, "--tls-key="+server.Key, "--ca="+r.Authority.File)
	r.startLink()
	r.install(t)
	if err := os.MkdirAll(r.path("models/sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) run(t *testing.T, program string, args ...string) {
	t.Helper()
	if text, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, text)
	}
}

func (r *rig) startLink() {
	r.link = testplane.StartNATS(r.whole, r.path("fleet/nats.conf"), r.nats)
}

func (r *rig) startCarlet() {
	r.carlet = r.startCarletAs("local", r.models, r.kubelet, r.metrics)
}

// startCarletAs starts one of several; each has ports of its own.
func (r *rig) startCarletAs(id string, models, kubelet, metrics int) *testplane.Process {
	pki := filepath.Dir(r.Authority.File)
	carlet := testplane.Start(r.whole, r.binary, "nodes", "--kubeconfig="+r.Kubeconfig, "--namespace=parkade-system", "--id="+id,
		fmt.Sprintf("--nats=tls://127.0.0.1:%d", r.nats), "--nats-creds="+r.path("fleet/carlet.creds"), "--nats-ca="+r.Authority.File,
		"--ca="+r.Authority.File, "--cert="+filepath.Join(pki, "carlet.crt"), "--key="+filepath.Join(pki, "carlet.key"),
		fmt.Sprintf("--models-listen=127.0.0.1:%d", models), fmt.Sprintf("--kubelet-listen=127.0.0.1:%d", kubelet),
		"--kubelet-advertise=127.0.0.1", "--model-store="+r.path("models"), "--url-key="+r.path("url.key"),
		fmt.Sprintf("--metrics=127.0.0.1:%d", metrics), "--status-interval=200ms")
	testplane.AwaitPort(r.whole, carlet, metrics)
	return carlet
}

// install applies the CRDs as they are shipped, and a pool, a cell, a workload and a router's Lease.
func (r *rig) install(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	files, err := filepath.Glob(filepath.Join(repository, "crds", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no CRDs: %v", err)
	}
	crds := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	for _, file := range files {
		r.create(t, crds, "", read(t, file))
	}
	for _, name := range []string{namespace, "parkade-system"} {
		_, err := r.Kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	pool := read(t, filepath.Join(repository, "examples", "vehiclenodepool.yaml"))
	pool.SetName("home")
	r.create(t, resource("vehiclenodepools"), "", pool)
	r.create(t, resource("inferenceworkloads"), namespace, read(t, filepath.Join(repository, "examples", "workload.yaml")))
	r.createCell(t, cellName)
	now, life := metav1.NewMicroTime(time.Now()), int32(15)
	_, err = r.Kube.CoordinationV1().Leases("parkade-system").Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Name: "parkade-router-local", Labels: map[string]string{"parkade.dev/component": "router"},
			Annotations: map[string]string{"parkade.dev/cars": "127.0.0.1:7443"},
		},
		Spec: coordinationv1.LeaseSpec{RenewTime: &now, LeaseDurationSeconds: &life},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) createCell(t *testing.T, name string) {
	t.Helper()
	r.create(t, resource("vehiclecells"), "", &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "parkade.dev/v1alpha1", "kind": "VehicleCell", "metadata": map[string]any{"name": name},
		"spec": map[string]any{
			"pool": "home", "region": "us-ca", "shard": int64(0), "maxVehicles": int64(10),
			"assignments": []any{map[string]any{"workload": workload, "digest": digest, "replicas": int64(1)}},
		},
	}})
}

func read(t *testing.T, file string) *unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(text, &object.Object); err != nil {
		t.Fatal(err)
	}
	return object
}

// create retries while a new CRD is not served yet.
func (r *rig) create(t *testing.T, kind schema.GroupVersionResource, ns string, object *unstructured.Unstructured) {
	t.Helper()
	testplane.Eventually(t, "create "+object.GetName(), func() error {
		_, err := r.Custom.Resource(kind).Namespace(ns).Create(context.Background(), object, metav1.CreateOptions{})
		return err
	})
}

func (r *rig) createPod(t *testing.T) {
	t.Helper()
	r.createPodIn(t, cellName)
}

func (r *rig) createPodIn(t *testing.T, cell string) {
	t.Helper()
	zero := int64(0)
	_, err := r.Kube.CoreV1().Pods(namespace).Create(context.Background(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "sign-reader-" + cell, Labels: map[string]string{
			"parkade.dev/workload": "sign-reader", "parkade.dev/cell": cell,
		}},
		Spec: corev1.PodSpec{
			NodeName: cell, Containers: []corev1.Container{{Name: "model", Image: "parkade.dev/model:sign-reader"}},
			TerminationGracePeriodSeconds: &zero,
			Tolerations:                   []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) node(t *testing.T) (*corev1.Node, error) {
	t.Helper()
	return r.Kube.CoreV1().Nodes().Get(context.Background(), cellName, metav1.GetOptions{})
}

// nodeReady checks what a Ready node of a cell must look like.
func (r *rig) nodeReady(t *testing.T, message string) func() error {
	return func() error {
		node, err := r.node(t)
		if err != nil {
			return err
		}
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue && strings.Contains(condition.Message, message) {
				return nil
			}
		}
		return fmt.Errorf("conditions are %+v", node.Status.Conditions)
	}
}

func (r *rig) podStatus(t *testing.T, holds func(corev1.PodStatus) bool) func() error {
	return func() error {
		pod, err := r.Kube.CoreV1().Pods(namespace).Get(context.Background(), podName, metav1.GetOptions{})
		if err == nil && !holds(pod.Status) {
			err = fmt.Errorf("status is %+v", pod.Status)
		}
		return err
	}
}

func waiting(reason string) func(corev1.PodStatus) bool {
	return func(s corev1.PodStatus) bool {
		return len(s.ContainerStatuses) == 1 && s.ContainerStatuses[0].State.Waiting != nil &&
			s.ContainerStatuses[0].State.Waiting.Reason == reason && !isReady(s)
	}
}

func isReady(s corev1.PodStatus) bool {
	return s.Phase == corev1.PodRunning && slices.ContainsFunc(s.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// cellShows waits for a field of the cell's first assignment.
func (r *rig) cellShows(reason string, ready int64) func() error {
	return func() error {
		cell, err := r.Custom.Resource(resource("vehiclecells")).Get(context.Background(), cellName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		rows, _, err := unstructured.NestedSlice(cell.Object, "status", "assignments")
		if err != nil || len(rows) != 1 {
			return fmt.Errorf("assignments are %v, %w", rows, err)
		}
		row := rows[0].(map[string]any)
		if row["reason"] != reason || row["ready"] != ready {
			return fmt.Errorf("assignment is %v", row)
		}
		return nil
	}
}

// cellCondition waits for the reason of a condition of the cell.
func (r *rig) cellCondition(kind, reason string) func() error {
	return func() error {
		cell, err := r.Custom.Resource(resource("vehiclecells")).Get(context.Background(), cellName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		conditions, _, _ := unstructured.NestedSlice(cell.Object, "status", "conditions")
		for _, condition := range conditions {
			if c := condition.(map[string]any); c["type"] == kind && c["reason"] == reason {
				return nil
			}
		}
		return fmt.Errorf("conditions are %v", conditions)
	}
}

// vehicle is an agent as far as the link goes: it says hello whenever it connects, and remembers orders.
type vehicle struct {
	t    *testing.T
	key  fleet.Key
	conn *nats.Conn

	mu     sync.Mutex
	orders []fleet.Desired
}

func (r *rig) newVehicle(t *testing.T, id string) *vehicle {
	t.Helper()
	v := &vehicle{t: t, key: fleet.Key{Fleet: "owners-ca", Vehicle: id}}
	file := r.path(id + ".creds")
	r.run(t, r.binary, "fleet", "enroll", "--dir="+r.path("fleet"), "--fleet="+v.key.Fleet, "--vehicle="+id, "-o="+file)
	v.conn = testplane.Connect(t, fmt.Sprintf("tls://127.0.0.1:%d", r.nats), nats.UserCredentials(file), nats.RootCAs(r.Authority.File),
		nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.ReconnectHandler(func(*nats.Conn) { v.hello() }),
		testplane.OnError(func(err error) { t.Errorf("%s: %v", id, err) }))
	_, err := v.conn.Subscribe(fleet.Subject(v.key, fleet.KindDesired), func(msg *nats.Msg) {
		var desired fleet.Desired
		if err := json.Unmarshal(msg.Data, &desired); err != nil {
			t.Errorf("%s was sent %q", id, msg.Data)
		}
		v.mu.Lock()
		v.orders = append(v.orders, desired)
		v.mu.Unlock()
	})
	if err != nil {
		t.Fatal(err)
	}
	v.hello()
	return v
}

func (v *vehicle) hello() {
	last := v.last()
	v.say(fleet.KindHello, fleet.Hello{
		V: 1, Vehicle: v.key.Vehicle, Fleet: v.key.Fleet, Hardware: "hw4", Memory: 8 << 30, Slots: 1, BeatSeconds: 60,
		Cell: last.Cell, Desired: last.Revision,
	})
}

func (v *vehicle) say(kind fleet.Kind, message any) {
	text, err := json.Marshal(message)
	if err == nil {
		err = v.conn.Publish(fleet.Subject(v.key, kind), text)
	}
	if err != nil {
		v.t.Error(err)
	}
}

// state reports a phase of the workload; none if it is empty.
func (v *vehicle) state(phase fleet.Phase, change ...func(*fleet.State)) {
	state := fleet.State{
		V: 1, Present: true, Eligible: true, Link: "WiFi", State: "Charging", RTTMillis: 18, Desired: v.last().Revision,
	}
	if phase != "" {
		state.Assignments = []fleet.HeldByVehicle{{Workload: workload, Digest: digest, Phase: phase}}
	}
	for _, f := range change {
		f(&state)
	}
	v.say(fleet.KindState, state)
}

func (v *vehicle) last() fleet.Desired {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.orders) == 0 {
		return fleet.Desired{}
	}
	return v.orders[len(v.orders)-1]
}

func (v *vehicle) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.orders)
}

// told waits until the last order has so many assignments.
func (v *vehicle) told(t *testing.T, assignments int) fleet.Desired {
	t.Helper()
	testplane.Eventually(t, fmt.Sprintf("%s is told %d assignments", v.key, assignments), func() error {
		if last := v.last(); v.count() == 0 || len(last.Assignments) != assignments {
			return fmt.Errorf("last order is %+v", last)
		}
		return nil
	})
	return v.last()
}

func (r *rig) stage(t *testing.T, content string) {
	t.Helper()
	if err := os.WriteFile(r.path("models/sha256/"+digest), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

var errNotYet = errors.New("not yet")
