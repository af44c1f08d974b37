package nodes

import (
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"parkade.dev/carlet/fleet"
)

// podsPerNode bounds workloads in one cell, as a kubelet's default does.
const podsPerNode = 110

// VehiclesPresent is the node condition that says how many vehicles of the cell are here. Ready only says that carlet
// serves the cell: Kubernetes is to decide nothing about cars.
const VehiclesPresent corev1.NodeConditionType = "VehiclesPresent"

// Address is where the API server reaches carlet's kubelet API.
type Address struct {
	IP   string
	Port int32
}

// nodeFor is the node of a cell as its facts want it. since is when carlet began to serve the cell.
func nodeFor(cell cellIdentity, facts fleet.CellFacts, address Address, since, now time.Time) *corev1.Node {
	labels := map[string]string{
		labelCell:                        cell.Name,
		labelPool:                        cell.Pool,
		"type":                           "virtual-kubelet",
		corev1.LabelHostname:             cell.Name,
		corev1.LabelOSStable:             "vehicle", // never linux: it keeps DaemonSets off
		"node-role.kubernetes.io/cell":   "",
		corev1.LabelNodeExcludeBalancers: "",
	}
	if cell.Region != "" {
		labels[corev1.LabelTopologyRegion] = cell.Region
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: cell.Name, Labels: labels, Annotations: map[string]string{},
			OwnerReferences: []metav1.OwnerReference{cell.owner},
		},
		Spec:   corev1.NodeSpec{Taints: cellTaints()},
		Status: nodeStatus(facts, address, since, now),
	}
}

func cellTaints() []corev1.Taint {
	return []corev1.Taint{
		{Key: taintVehicle, Effect: corev1.TaintEffectNoSchedule},
		{Key: taintVehicle, Effect: corev1.TaintEffectNoExecute},
	}
}

func nodeStatus(facts fleet.CellFacts, address Address, since, now time.Time) corev1.NodeStatus {
	capacity := corev1.ResourceList{
		corev1.ResourcePods:    *resource.NewQuantity(podsPerNode, resource.DecimalSI),
		"parkade.dev/vehicles": *resource.NewQuantity(int64(facts.Counts.Registered), resource.DecimalSI),
	}
	allocatable := capacity.DeepCopy()
	allocatable["parkade.dev/vehicles"] = *resource.NewQuantity(int64(facts.Counts.Eligible), resource.DecimalSI)
	return corev1.NodeStatus{
		Phase:       corev1.NodeRunning,
		Capacity:    capacity,
		Allocatable: allocatable,
		Conditions:  nodeConditions(facts, since, now),
		Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: address.IP},
		},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: address.Port}},
		NodeInfo: corev1.NodeSystemInfo{
			KubeletVersion: "carlet-" + Version, OperatingSystem: "vehicle", OSImage: "vehicles of " + facts.Pool,
			ContainerRuntimeVersion: "parkade://" + Version, Architecture: "vehicle",
		},
	}
}

func nodeConditions(facts fleet.CellFacts, since, now time.Time) []corev1.NodeCondition {
	counts := facts.Counts
	sentence := fmt.Sprintf("%d of %d vehicles here", counts.Here, counts.Registered)
	make := func(kind corev1.NodeConditionType, status corev1.ConditionStatus, reason, message string) corev1.NodeCondition {
		return corev1.NodeCondition{
			Type: kind, Status: status, Reason: reason, Message: message,
			LastHeartbeatTime: conditionTime(now), LastTransitionTime: conditionTime(since),
		}
	}
	present, reason := corev1.ConditionTrue, "Here"
	if counts.Here == 0 {
		present, reason = corev1.ConditionFalse, "NobodyHere"
	}
	details := fmt.Sprintf("%s, %d eligible, %d serving", presenceSentence(facts), counts.Eligible, counts.Serving)
	return []corev1.NodeCondition{
		make(corev1.NodeReady, corev1.ConditionTrue, "CellServed", sentence),
		make(VehiclesPresent, present, reason, details),
		make(corev1.NodeMemoryPressure, corev1.ConditionFalse, "NotApplicable", "vehicles guard their own memory"),
		make(corev1.NodeDiskPressure, corev1.ConditionFalse, "NotApplicable", "vehicles guard their own storage"),
		make(corev1.NodePIDPressure, corev1.ConditionFalse, "NotApplicable", "no processes run on this node"),
		make(corev1.NodeNetworkUnavailable, corev1.ConditionFalse, "NoPodNetwork", "vehicles dial out; no routes are needed"),
	}
}

// standingDigest is what of a node is worth a write at once: all but numbers of vehicles.
func standingDigest(node *corev1.Node) string {
	text := fmt.Sprint(node.Labels)
	for _, c := range node.Status.Conditions {
		text += string(c.Type) + string(c.Status) + c.Reason
	}
	return text
}

// sameNode says whether two nodes differ in nothing but heartbeats.
func sameNode(a, b *corev1.Node) bool {
	return nodeDigest(a) == nodeDigest(b)
}

func nodeDigest(node *corev1.Node) string {
	text := fmt.Sprint(node.Labels)
	for _, c := range node.Status.Conditions {
		text += string(c.Type) + string(c.Status) + c.Reason + c.Message
	}
	registered, eligible := node.Status.Capacity["parkade.dev/vehicles"], node.Status.Allocatable["parkade.dev/vehicles"]
	return text + strconv.FormatInt(registered.Value(), 10) + "/" + strconv.FormatInt(eligible.Value(), 10)
}
