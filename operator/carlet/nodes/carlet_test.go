package nodes_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"parkade.dev/carlet/fleet"
	"parkade.dev/carlet/internal/testplane"
)

// promised is how soon nodes and pods must be back, issue 3: 30 s; carlet's own part takes a few.
const promised = 10 * time.Second

// One plane serves all steps, because each begins where the former left the fleet.
func TestTheFleetOnARealCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a control plane; left out by -short")
	}
	r := newRig(t)
	r.startCarlet()
	testplane.Eventually(t, "the cell is a Ready node", r.nodeReady(t, "0 of 0 vehicles here"))
	t.Run("NodeLooksRight", func(t *testing.T) { nodeLooksRight(t, r) })
	holder, other := comesUp(t, r)
	t.Run("ServesModelsAndLogs", func(t *testing.T) { servesModelsAndLogs(t, r, holder) })
	t.Run("GarbageIsShown", func(t *testing.T) { garbageIsShown(t, r, other) })
	t.Run("DeletedNodesAndPodsOrderNothing", func(t *testing.T) { deletedNodesAndPodsOrderNothing(t, r, holder, other) })
	t.Run("RestartAdopts", func(t *testing.T) { restartAdopts(t, r, holder, other) })
	t.Run("LinkRestart", func(t *testing.T) { linkRestart(t, r, holder, other) })
	t.Run("Departure", func(t *testing.T) { departure(t, r, holder, other) })
	t.Run("CellDeleted", func(t *testing.T) { cellDeleted(t, r, other) })
}

func nodeLooksRight(t *testing.T, r *rig) {
	node, err := r.node(t)
	if err != nil {
		t.Fatal(err)
	}
	for label, want := range map[string]string{
		"parkade.dev/cell": cellName, "parkade.dev/pool": "home", "type": "virtual-kubelet", "topology.kubernetes.io/region": "us-ca",
		"node.kubernetes.io/exclude-from-external-load-balancers": "", "kubernetes.io/os": "vehicle",
	} {
		if got, ok := node.Labels[label]; !ok || got != want {
			t.Errorf("label %s is %q, want %q", label, got, want)
		}
	}
	effects := map[corev1.TaintEffect]bool{}
	for _, taint := range node.Spec.Taints {
		if taint.Key == "parkade.dev/vehicle" {
			effects[taint.Effect] = true
		}
	}
	if !effects[corev1.TaintEffectNoExecute] || !effects[corev1.TaintEffectNoSchedule] {
		t.Errorf("taints are %v", node.Spec.Taints)
	}
	if pods := node.Status.Capacity[corev1.ResourcePods]; pods.Value() != 110 {
		t.Errorf("capacity is %v", node.Status.Capacity)
	}
	// A cordon is the user's, and outlives our writes; a taint is ours, and comes back.
	patch := []byte(`{"spec":{"unschedulable":true,"taints":[]}}`)
	if _, err := r.Kube.CoreV1().Nodes().Patch(context.Background(), cellName, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	testplane.Eventually(t, "taints come back, the cordon stays", func() error {
		node, err := r.node(t)
		if err != nil {
			return err
		}
		ours := 0
		for _, taint := range node.Spec.Taints {
			if taint.Key == "parkade.dev/vehicle" {
				ours++
			}
		}
		if ours != 2 || !node.Spec.Unschedulable {
			return fmt.Errorf("spec is %+v", node.Spec)
		}
		return nil
	})
	testplane.Eventually(t, "the cell says that it is cordoned", r.cellCondition("Schedulable", "Cordoned"))
	patch = []byte(`{"spec":{"unschedulable":false}}`)
	if _, err := r.Kube.CoreV1().Nodes().Patch(context.Background(), cellName, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	testplane.Eventually(t, "the cell says that it is not", r.cellCondition("Schedulable", "Uncordoned"))
}

// comesUp brings two vehicles, of which one is told to hold the workload, and the pod from Pending to Ready.
func comesUp(t *testing.T, r *rig) (holder, other *vehicle) {
	t.Helper()
	r.createPod(t)
	testplane.Eventually(t, "without a vehicle the pod says so", r.podStatus(t, waiting("NoVehicle")))
	one, two := r.newVehicle(t, "v-1"), r.newVehicle(t, "v-2")
	one.told(t, 0)
	two.told(t, 0)
	one.state("")
	two.state("")
	testplane.Eventually(t, "one of them is told", func() error {
		if len(one.last().Assignments)+len(two.last().Assignments) != 1 {
			return errNotYet
		}
		return nil
	})
	holder, other = one, two
	if len(two.last().Assignments) == 1 {
		holder, other = two, one
	}
	if a := holder.last().Assignments[0]; a.URL != "" || a.Bytes != 0 || a.Router != "127.0.0.1:7443" || a.Memory != 900<<20 || a.Format != "onnx" || a.Model != "sign-reader" {
		t.Errorf("before it is staged: %+v", a)
	}
	var contract map[string]any
	if err := json.Unmarshal(holder.last().Contract, &contract); err != nil || contract["minStateOfCharge"] != 50.0 || contract["quietHours"] != "22:00-06:00" {
		t.Errorf("the pool's contract arrives as %s: %v", holder.last().Contract, err)
	}
	holder.state(fleet.PhaseFetching)
	testplane.Eventually(t, "the pod waits for the store", r.podStatus(t, waiting("NotStaged")))
	r.stage(t, "a model")
	testplane.Eventually(t, "the URL comes when the model is staged", func() error {
		if a := holder.told(t, 1).Assignments[0]; a.URL == "" || a.Bytes != 7 {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	testplane.Eventually(t, "the pod fetches", r.podStatus(t, waiting("Fetching")))
	holder.state(fleet.PhaseReady)
	testplane.Eventually(t, "the pod is ready", r.podStatus(t, isReady))
	testplane.Eventually(t, "the cell shows it", r.cellShows("Ready", 1))
	testplane.Eventually(t, "the node counts", r.nodeReady(t, "2 of 2 vehicles here"))
	return holder, other
}

func servesModelsAndLogs(t *testing.T, r *rig, holder *vehicle) {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: r.Authority.Trusting()}}
	url := holder.last().Assignments[0].URL
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, _ := io.ReadAll(answer.Body); string(body) != "a model" || answer.StatusCode != 200 {
		t.Errorf("model: %d %q", answer.StatusCode, body)
	}
	logs, err := r.Kube.CoreV1().Pods(namespace).GetLogs(podName, &corev1.PodLogOptions{}).DoRaw(context.Background())
	if err != nil || !strings.Contains(string(logs), "Ready 3f79bb7b435b") || strings.Contains(string(logs), holder.key.Vehicle) {
		t.Errorf("logs: %v\n%s", err, logs)
	}
	kubelet := fmt.Sprintf("https://127.0.0.1:%d/containerLogs/%s/%s/model", r.kubelet, namespace, podName)
	if _, err := client.Get(kubelet); err == nil {
		t.Error("the kubelet API answers without a certificate")
	}
	pair := r.Authority.Issue(t, "a-vehicle", "", "parkade://vehicle/owners-ca/v-1")
	certificate, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	asked := r.Authority.Trusting()
	asked.Certificates = []tls.Certificate{certificate}
	asVehicle := &http.Client{Transport: &http.Transport{TLSClientConfig: asked}}
	if _, err := asVehicle.Get(kubelet); err == nil {
		t.Error("the kubelet API answers a vehicle")
	}
	probe, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", r.metrics))
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Body.Close()
	metrics, _ := io.ReadAll(probe.Body)
	for _, want := range []string{`parkade_vehicles{pool="home",presence="Here"} 2`, `parkade_fleet_messages_total{kind="hello",outcome="accepted"}`, `parkade_cell_writes_total{outcome="written"}`, `parkade_model_bytes_total 7`} {
		if !strings.Contains(string(metrics), want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

// quiet runs a step during which no vehicle may be told anything that changes what it holds.
func quiet(t *testing.T, vehicles []*vehicle, step func()) {
	t.Helper()
	before := map[*vehicle]string{}
	count := map[*vehicle]int{}
	for _, v := range vehicles {
		before[v], count[v] = v.last().Revision, v.count()
	}
	step()
	for _, v := range vehicles {
		v.mu.Lock()
		for _, order := range v.orders[count[v]:] {
			if order.Revision != before[v] {
				t.Errorf("%s was told %+v", v.key, order)
			}
		}
		v.mu.Unlock()
	}
}

func garbageIsShown(t *testing.T, r *rig, vehicle *vehicle) {
	testplane.Eventually(t, "all is understood", r.cellCondition("MessagesUnderstood", "AllUnderstood"))
	if err := vehicle.conn.Publish(fleet.Subject(vehicle.key, fleet.KindBeat), []byte("garbage")); err != nil {
		t.Fatal(err)
	}
	testplane.Eventually(t, "garbage is shown", r.cellCondition("MessagesUnderstood", "MalformedMessages"))
}

func deletedNodesAndPodsOrderNothing(t *testing.T, r *rig, vehicles ...*vehicle) {
	ctx := context.Background()
	quiet(t, vehicles, func() {
		if err := r.Kube.CoreV1().Pods(namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
			t.Fatal(err)
		}
		testplane.Within(t, promised, "the pod goes", func() error {
			if _, err := r.Kube.CoreV1().Pods(namespace).Get(ctx, podName, metav1.GetOptions{}); err == nil {
				return errNotYet
			}
			return nil
		})
		r.createPod(t) // as the operator does
		took := testplane.Within(t, promised, "a pod made again is adopted", r.podStatus(t, isReady))
		t.Logf("pod ready again after %s", took)

		before, err := r.node(t)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Kube.CoreV1().Nodes().DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
			t.Fatal(err)
		}
		took = testplane.Within(t, promised, "the node is back", func() error {
			if node, err := r.node(t); err != nil || node.UID == before.UID {
				return fmt.Errorf("still the old one, or %w", err)
			}
			return r.nodeReady(t, "2 of 2 vehicles here")()
		})
		t.Logf("node back after %s", took)
		testplane.Eventually(t, "the cell still shows its replica", r.cellShows("Ready", 1))
	})
}

func restartAdopts(t *testing.T, r *rig, vehicles ...*vehicle) {
	for _, v := range vehicles { // as agents do after applying an order
		phase := fleet.Phase("")
		if len(v.last().Assignments) > 0 {
			phase = fleet.PhaseReady
		}
		v.state(phase)
		if err := v.conn.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	quiet(t, vehicles, func() {
		r.carlet.Kill(t)
		r.startCarlet()
		took := testplane.Within(t, promised, "carlet is ready again", func() error {
			answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", r.metrics))
			if err != nil {
				return err
			}
			defer answer.Body.Close()
			if answer.StatusCode != 200 {
				return errNotYet
			}
			return nil
		})
		t.Logf("ready again after %s", took)
		testplane.Eventually(t, "the cell shows the same", r.cellShows("Ready", 1))
		testplane.Eventually(t, "the node shows the same", r.nodeReady(t, "2 of 2 vehicles here"))
		testplane.Eventually(t, "the pod shows the same", r.podStatus(t, isReady))
		for _, v := range vehicles { // a new hello is answered by the same revision
			count := v.count()
			v.hello()
			testplane.Eventually(t, "a hello is answered", func() error {
				if v.count() == count {
					return errNotYet
				}
				return nil
			})
		}
	})
}

func linkRestart(t *testing.T, r *rig, vehicles ...*vehicle) {
	quiet(t, vehicles, func() {
		count := map[*vehicle]int{}
		for _, v := range vehicles {
			count[v] = v.count()
		}
		r.link.Kill(t)
		r.startLink()
		for _, v := range vehicles {
			testplane.Within(t, promised, "the hello after a reconnect is answered", func() error {
				if v.count() == count[v] {
					return errNotYet
				}
				return nil
			})
		}
		testplane.Eventually(t, "nobody was given up", r.cellShows("Ready", 1))
	})
}

func departure(t *testing.T, r *rig, holder, other *vehicle) {
	holder.state(fleet.PhaseDraining, func(s *fleet.State) { s.Leaving, s.Eligible, s.Reason = true, false, "Unplugged" })
	began := time.Now()
	other.told(t, 1)
	t.Logf("the other vehicle was told after %s", time.Since(began))
	other.state(fleet.PhaseReady)
	holder.told(t, 0)
	testplane.Eventually(t, "the cell shows the other", r.cellShows("Ready", 1))
	testplane.Eventually(t, "the node says who is here", r.nodeReady(t, "1 of 2 vehicles here"))
}

func cellDeleted(t *testing.T, r *rig, holder *vehicle) {
	ctx := context.Background()
	cells := r.Custom.Resource(resource("vehiclecells"))
	deleteCell := func() {
		if err := cells.Delete(ctx, cellName, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		testplane.Within(t, promised, "the node goes with its cell", func() error {
			if _, err := r.node(t); err == nil {
				return errNotYet
			}
			return nil
		})
	}
	shown, err := cells.Get(ctx, cellName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	spec := shown.Object["spec"].(map[string]any)
	orders := spec["assignments"]
	delete(spec, "assignments")
	quiet(t, []*vehicle{holder}, func() {
		deleteCell()
		// The operator makes the cell again without orders, because it has not seen the vehicles yet.
		r.create(t, resource("vehiclecells"), "", &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "parkade.dev/v1alpha1", "kind": "VehicleCell", "metadata": map[string]any{"name": cellName}, "spec": spec,
		}})
		testplane.Within(t, promised, "the node is back", r.nodeReady(t, "1 of 2 vehicles here"))
		testplane.Eventually(t, "the cell shows what its vehicles still hold", r.cellShows("Ready", 1))
		patch, err := json.Marshal(map[string]any{"spec": map[string]any{"assignments": orders}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cells.Patch(ctx, cellName, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		deleteCell()
		count := holder.count()
		holder.hello()
		testplane.Eventually(t, "a hello is answered by the last orders", func() error {
			if holder.count() == count {
				return errNotYet
			}
			return nil
		})
	})
	if err := r.Custom.Resource(resource("vehiclenodepools")).Delete(ctx, "home", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	holder.told(t, 0)
	if files, _ := filepath.Glob(r.path("models/sha256/*")); len(files) != 1 {
		t.Error("carlet touched the store")
	}
}
