"""Replicas that answer now, as cars and servers themselves report them."""

from parkade.api import InferenceWorkload
from parkade.changes.comparison import Comparison, held


def replicas_ready(comparison: Comparison, workload: InferenceWorkload) -> dict[str, int]:
    """Ready replicas by place (cell or Triton pool), only places with any."""
    ready: dict[str, int] = {}
    for cell in comparison.snapshot.cells:
        ordered = any(row.workload == workload.key for row in cell.spec.assignments)
        for row in cell.status.assignments:
            if ordered and row.workload == workload.key and row.ready:
                ready[cell.metadata.name] = row.ready
    if comparison.owners.get(workload.spec.model.name) != workload.key:
        return ready
    for server in comparison.servers:
        loaded = held(server, workload.spec.model.name)
        if loaded is not None and loaded.ready:
            ready[server.pool] = ready.get(server.pool, 0) + max(1, loaded.instances)
    return ready
