package nodes_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"parkade.dev/carlet/drive"
	"parkade.dev/carlet/fleet"
	"parkade.dev/carlet/internal/testplane"
)

const (
	sharedCells    = 8
	sharedVehicles = 40
	takeover       = 15 * time.Second // issue 6
	handover       = 8 * time.Second  // of a carlet that says goodbye: two looks, and what is heard in between
)

// sharing is a fleet that two carlets share.
type sharing struct {
	*rig
	cells   []string
	driver  *drive.Driver
	kubelet map[string]int // by carlet
	carlets map[string]*testplane.Process

	mu       sync.Mutex
	troubles []string
}

func TestTwoCarletsShareTheCellsOfARealCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a control plane; left out by -short")
	}
	s := &sharing{rig: newRig(t), kubelet: map[string]int{}, carlets: map[string]*testplane.Process{}}
	s.stage(t, "a model")
	for i := range sharedCells {
		name := fmt.Sprintf("home-%d", i)
		s.cells = append(s.cells, name)
		if name != cellName {
			s.createCell(t, name)
		}
		s.createPodIn(t, name)
	}
	s.start(t, "a")
	s.start(t, "b")
	s.drive(t)
	testplane.Eventually(t, "each serves a part of the cells", s.sharedBy("a", "b"))
	testplane.Eventually(t, "every cell has its replica", s.ready(1))
	testplane.Eventually(t, "every pod is ready", s.podsReady)
	s.watch(t)

	t.Run("KillNine", func(t *testing.T) {
		s.carlets["a"].Kill(t)
		s.order(t, 2)
		took := testplane.Within(t, takeover, "the other orders all cells", s.ready(2))
		t.Logf("orders are met %s after kill -9", took)
		testplane.Eventually(t, "its nodes lead to the other", s.sharedBy("b"))
		for _, cell := range s.cells {
			options := &corev1.PodLogOptions{}
			if _, err := s.Kube.CoreV1().Pods(namespace).GetLogs("sign-reader-"+cell, options).DoRaw(context.Background()); err != nil {
				t.Errorf("logs of %s: %v", cell, err)
			}
		}
		s.untouched(t)
	})
	t.Run("Joins", func(t *testing.T) {
		s.start(t, "a")
		testplane.Within(t, takeover, "it gets its part back", s.sharedBy("a", "b"))
		s.untouched(t)
	})
	t.Run("StandsStill", func(t *testing.T) {
		s.carlets["a"].Signal(t, syscall.SIGSTOP)
		s.order(t, 3)
		took := testplane.Within(t, takeover, "the other orders all cells", s.ready(3))
		t.Logf("orders are met %s after SIGSTOP", took)
		s.carlets["a"].Signal(t, syscall.SIGCONT)
		testplane.Eventually(t, "it gets its part back", s.sharedBy("a", "b"))
		s.untouched(t)
	})
	t.Run("Leaves", func(t *testing.T) {
		s.carlets["b"].Stop(t)
		took := testplane.Within(t, handover, "the other has all cells", s.sharedBy("a"))
		t.Logf("taken over %s after the end of the other", took)
		s.order(t, 4)
		testplane.Within(t, handover, "and orders them", s.ready(4))
		s.untouched(t)
	})
}

func (s *sharing) start(t *testing.T, id string) {
	t.Helper()
	s.kubelet[id] = testplane.FreePort(t)
	s.carlets[id] = s.startCarletAs(id, testplane.FreePort(t), s.kubelet[id], testplane.FreePort(t))
}

func (s *sharing) drive(t *testing.T) {
	t.Helper()
	keys, err := fleet.OpenKeys(s.path("fleet"))
	if err != nil {
		t.Fatal(err)
	}
	s.driver, err = drive.New(drive.Options{
		Servers: []string{fmt.Sprintf("tls://127.0.0.1:%d", s.nats)}, TLS: s.Authority.Trusting(),
		Enroll: func(key fleet.Key) ([]byte, error) { return keys.Enroll(key, time.Hour, time.Now()) },
		Fleet:  "owners-ca", Prefix: "v-", Vehicles: sharedVehicles, Hardware: "hw4", Memory: 8 << 30, Slots: 1, Charge: 80,
		Links: []drive.Share{{Link: "WiFi", Fraction: 1}}, Beat: 5 * time.Second, Dials: 8, Rate: 1e9,
		Load: 50 * time.Millisecond, Drain: 50 * time.Millisecond, Staying: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		s.driver.Run(ctx)
		close(done)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	s.driver.AwaitStart()
}

// order asks every cell for so many replicas.
func (s *sharing) order(t *testing.T, replicas int64) {
	t.Helper()
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"assignments": []any{
		map[string]any{"workload": workload, "digest": digest, "replicas": replicas},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, cell := range s.cells {
		_, err := s.Custom.Resource(resource("vehiclecells")).Patch(context.Background(), cell, types.MergePatchType, patch, metav1.PatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// ready waits until every cell shows as many replicas as it was asked for, or as it has vehicles.
func (s *sharing) ready(replicas int64) func() error {
	return func() error {
		list, err := s.Custom.Resource(resource("vehiclecells")).List(context.Background(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, cell := range list.Items {
			rows, _, _ := unstructured.NestedSlice(cell.Object, "status", "assignments")
			vehicles, _, _ := unstructured.NestedInt64(cell.Object, "status", "vehicles", "registered")
			if len(rows) != 1 || vehicles == 0 {
				return fmt.Errorf("%s shows %v of %d vehicles", cell.GetName(), rows, vehicles)
			}
			row := rows[0].(map[string]any)
			if row["desired"] != replicas || row["ready"].(int64) < min(replicas, vehicles) {
				return fmt.Errorf("%s shows %v of %d vehicles", cell.GetName(), row, vehicles)
			}
		}
		return nil
	}
}

// sharedBy waits until each of these carlets, and no other, serves nodes.
func (s *sharing) sharedBy(ids ...string) func() error {
	return func() error {
		nodes, err := s.Kube.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		served := map[int]int{}
		for _, node := range nodes.Items {
			served[int(node.Status.DaemonEndpoints.KubeletEndpoint.Port)]++
		}
		total := 0
		for _, id := range ids {
			if served[s.kubelet[id]] == 0 {
				return fmt.Errorf("%s serves none: %v", id, served)
			}
			total += served[s.kubelet[id]]
		}
		if total != sharedCells {
			return fmt.Errorf("%v serve %d cells of %v", ids, total, served)
		}
		return nil
	}
}

func (s *sharing) podsReady() error {
	pods, err := s.Kube.CoreV1().Pods(namespace).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		return err
	}
	if len(pods.Items) != sharedCells {
		return fmt.Errorf("%d pods", len(pods.Items))
	}
	for i := range pods.Items {
		if !isReady(pods.Items[i].Status) {
			return fmt.Errorf("%s is not ready: %+v", pods.Items[i].Name, pods.Items[i].Status.Conditions)
		}
	}
	return nil
}

// watch notes every moment in which a node or a pod is not Ready.
func (s *sharing) watch(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			for _, err := range []error{s.podsReady(), s.nodesReady()} {
				if err != nil && ctx.Err() == nil {
					s.mu.Lock()
					s.troubles = append(s.troubles, err.Error())
					s.mu.Unlock()
				}
			}
			time.Sleep(200 * time.Millisecond)
		}
	})
	t.Cleanup(func() {
		cancel()
		watching.Wait()
	})
}

func (s *sharing) nodesReady() error {
	nodes, err := s.Kube.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{})
	if err != nil {
		return err
	}
	if len(nodes.Items) != sharedCells {
		return fmt.Errorf("%d nodes", len(nodes.Items))
	}
	for _, node := range nodes.Items {
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status != corev1.ConditionTrue {
				return fmt.Errorf("%s is %s: %s", node.Name, condition.Status, condition.Message)
			}
		}
	}
	return nil
}

// untouched checks that no vehicle let anything go or loaded it again, and that nodes and pods were Ready all the time.
func (s *sharing) untouched(t *testing.T) {
	t.Helper()
	if report := s.driver.Report(); report.UnloadsByOrder+report.UnloadsByContract+report.Reloads != 0 || report.Connected != sharedVehicles {
		t.Errorf("vehicles report %+v", report)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.troubles) > 0 {
		t.Errorf("not Ready %d times: %s", len(s.troubles), s.troubles[0])
		s.troubles = nil
	}
}
