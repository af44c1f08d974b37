"""The Kubernetes face of what runs: one pod a (workload, cell). No car takes orders from it."""

from parkade.changes.changes import ApplyCell, CreatePod, DeletePod
from parkade.changes.comparison import Comparison, target_of


def pod_steps(
    comparison: Comparison, cells: tuple[ApplyCell, ...]
) -> tuple[tuple[CreatePod, ...], tuple[DeletePod, ...]]:
    """Pods to make and to take away, once the cells are as `cells` orders them. A pod that vanished comes back."""
    snapshot = comparison.snapshot
    orders = {cell.metadata.name: [str(row.workload) for row in cell.spec.assignments] for cell in snapshot.cells}
    orders |= {step.cell: [row.workload for row in step.assignments] for step in cells}
    wanted = {(key, cell) for cell, keys in orders.items() for key in keys}
    there = {(pod.workload, pod.cell) for pod in snapshot.pods}
    made = tuple(
        CreatePod(target_of(workload), cell, workload.spec.model.name)
        for key, cell in sorted(wanted - there)
        if (workload := comparison.workloads.get(key)) is not None
        and workload.metadata.deletion_timestamp is None
        and cell not in snapshot.cordoned_cells
    )
    gone = tuple(
        DeletePod(pod.namespace, pod.name)
        for pod in snapshot.pods
        if (pod.workload, pod.cell) not in wanted and not pod.terminating and pod.workload not in snapshot.unreadable
    )
    return made, gone
