package nodes

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"parkade.dev/carlet/fleet"
)

const group, version = "parkade.dev", "v1alpha1"

// The custom resources that carlet reads; it writes only the status of cells.
var (
	cellsResource     = schema.GroupVersionResource{Group: group, Version: version, Resource: "vehiclecells"}
	poolsResource     = schema.GroupVersionResource{Group: group, Version: version, Resource: "vehiclenodepools"}
	workloadsResource = schema.GroupVersionResource{Group: group, Version: version, Resource: "inferenceworkloads"}
)

// Labels, annotations and names that docs/architecture.md fixes.
const (
	labelCell      = "parkade.dev/cell"
	labelPool      = "parkade.dev/pool"
	labelWorkload  = "parkade.dev/workload"
	labelComponent = "parkade.dev/component"
	taintVehicle   = "parkade.dev/vehicle"
	annotationCars = "parkade.dev/cars"
	routerLease    = "parkade-router-"
)

const defaultKeepFor = 5 * time.Minute

// poolObject is the part of a VehicleNodePool that carlet reads.
type poolObject struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Region string `json:"region"`
		Match  struct {
			Fleet    string `json:"fleet"`
			Hardware string `json:"hardware"`
		} `json:"match"`
		Hardware struct {
			Memory resource.Quantity `json:"memory"`
		} `json:"hardware"`
		LinkLoss struct {
			KeepFor string `json:"keepFor"`
		} `json:"linkLoss"`
		Contract    map[string]any    `json:"contract"`
		Payout      map[string]string `json:"payout"`
		EnergyPrice struct {
			PerKWh string `json:"perKWh"`
		} `json:"energyPrice"`
	} `json:"spec"`
}

// terms are what the vehicles of the pool are told; empty values are left out.
func (p poolObject) terms() (fleet.Terms, error) {
	var terms fleet.Terms
	var price map[string]string
	if p.Spec.EnergyPrice.PerKWh != "" {
		price = map[string]string{"perKWh": p.Spec.EnergyPrice.PerKWh}
	}
	for _, part := range []struct {
		name  string
		empty bool
		value any
		into  *json.RawMessage
	}{
		{"contract", p.Spec.Contract == nil, p.Spec.Contract, &terms.Contract},
		{"payout", p.Spec.Payout == nil, p.Spec.Payout, &terms.Payout},
		{"energyPrice", price == nil, price, &terms.EnergyPrice},
	} {
		if part.empty {
			continue
		}
		text, err := json.Marshal(part.value)
		if err != nil {
			return fleet.Terms{}, fmt.Errorf("%s: %w", part.name, err)
		}
		*part.into = text
	}
	return terms, nil
}

// cellObject is the part of a VehicleCell that carlet reads.
type cellObject struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Pool        string `json:"pool"`
		Region      string `json:"region"`
		MaxVehicles int    `json:"maxVehicles"`
		Closing     bool   `json:"closing"`
		Assignments []struct {
			Workload string `json:"workload"`
			Digest   string `json:"digest"`
			Replicas int    `json:"replicas"`
			Priority int    `json:"priority"`
		} `json:"assignments"`
	} `json:"spec"`
}

// workloadObject is the part of an InferenceWorkload that carlet reads.
type workloadObject struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Model struct {
			Name      string            `json:"name"`
			Memory    resource.Quantity `json:"memory"`
			Artifacts []struct {
				Format string `json:"format"`
				SHA256 string `json:"sha256"`
			} `json:"artifacts"`
		} `json:"model"`
	} `json:"spec"`
}

// parse reads the part of an object that we know; a newer schema may have more.
func parse(object runtime.Object, into any) error {
	content, ok := object.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("%T is not an unstructured object", object)
	}
	return runtime.DefaultUnstructuredConverter.FromUnstructured(content.Object, into)
}

func parsePool(object runtime.Object) (fleet.Pool, error) {
	var p poolObject
	if err := parse(object, &p); err != nil {
		return fleet.Pool{}, err
	}
	keepFor := defaultKeepFor
	if text := p.Spec.LinkLoss.KeepFor; text != "" {
		parsed, err := time.ParseDuration(text)
		if err != nil {
			return fleet.Pool{}, fmt.Errorf("linkLoss.keepFor %q is not a duration such as 5m", text)
		}
		keepFor = parsed
	}
	terms, err := p.terms()
	if err != nil {
		return fleet.Pool{}, err
	}
	return fleet.Pool{
		Name: p.Name, Region: p.Spec.Region, Fleet: p.Spec.Match.Fleet, Hardware: p.Spec.Match.Hardware,
		Memory: p.Spec.Hardware.Memory.Value(), KeepFor: keepFor, Terms: terms,
		Deleting: p.DeletionTimestamp != nil,
	}, nil
}

// cellIdentity is what an object made for a cell needs to name its owner.
type cellIdentity struct {
	fleet.Cell
	owner metav1.OwnerReference
}

func parseCell(object runtime.Object) (cellIdentity, error) {
	var c cellObject
	if err := parse(object, &c); err != nil {
		return cellIdentity{}, err
	}
	cell := fleet.Cell{
		Name: c.Name, UID: string(c.UID), Pool: c.Spec.Pool, Region: c.Spec.Region, MaxVehicles: c.Spec.MaxVehicles,
		Closing: c.Spec.Closing, Generation: c.Generation,
	}
	for _, a := range c.Spec.Assignments {
		cell.Orders = append(cell.Orders, fleet.Order{
			Workload: a.Workload, Digest: a.Digest, Replicas: a.Replicas, Priority: a.Priority,
		})
	}
	return cellIdentity{cell, metav1.OwnerReference{
		APIVersion: group + "/" + version, Kind: "VehicleCell", Name: c.Name, UID: c.UID,
	}}, nil
}

func parseWorkload(object runtime.Object) (fleet.Workload, error) {
	var w workloadObject
	if err := parse(object, &w); err != nil {
		return fleet.Workload{}, err
	}
	workload := fleet.Workload{
		Name: w.Namespace + "/" + w.Name, Model: w.Spec.Model.Name, Memory: w.Spec.Model.Memory.Value(),
		Formats: map[string]string{},
	}
	for _, artifact := range w.Spec.Model.Artifacts {
		workload.Formats[artifact.SHA256] = artifact.Format
	}
	return workload, nil
}

// parseRouter reads a router's Lease; false if it is none, or does not say where cars dial.
func parseRouter(lease *coordinationv1.Lease) (fleet.Router, bool) {
	id, isRouter := strings.CutPrefix(lease.Name, routerLease)
	cars := lease.Annotations[annotationCars]
	if !isRouter || cars == "" || lease.Spec.RenewTime == nil || lease.Spec.LeaseDurationSeconds == nil {
		return fleet.Router{}, false
	}
	renewed := lease.Spec.RenewTime.Time
	life := time.Duration(*lease.Spec.LeaseDurationSeconds) * time.Second
	return fleet.Router{ID: id, Cars: cars, Renewed: renewed, Expires: renewed.Add(life)}, true
}
