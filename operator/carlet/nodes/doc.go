// Package nodes is the Kubernetes face of the fleet: one virtual node per VehicleCell, one pod per (workload, cell), and
// VehicleCell.status. It reads what the operator ordered, lets package fleet decide, and shows the facts. Nothing that
// happens to a node or a pod is ever an order to a vehicle: only VehicleCell.spec is.
package nodes
