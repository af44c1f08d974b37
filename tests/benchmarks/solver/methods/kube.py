"""The default scheduler of Kubernetes, one pod at a time, as its source does it.

A node is one server, or 500 cars of one supply (a cell). Of the nodes, starting where the last pod left off, it looks
for max(5 %, 50 % - nodes / 125) that fit, 100 at least, scores them by what is requested of each resource after the pod
is placed (LeastAllocated: free share; MostAllocated: requested share; in whole percents) and takes the best, a tie by
lot.

It sees no price, no shortfall and no yield: a workload gets pods, on nodes where they help, until its covers are met.
That the cheapest units of a supply are then paid first flatters it. It never moves a pod: when demands have changed,
pods that are too many go, the last first, and what is missing is scheduled.
"""

import numpy as np

from benchmarks.solver.answers import Answer, Task
from benchmarks.solver.evaluation import entries
from benchmarks.solver.filling import SLACK, Filling
from benchmarks.solver.places import is_vehicle
from parkade.problem.arrays import ProblemArrays

CELL = 500
"""Cars."""
PODS = "pods.npy"
"""Rows of arc, node, count."""
FEWEST = 100
"""`minFeasibleNodesToFind`."""


def prepare(task: Task) -> ProblemArrays:
    """The arrays."""
    return ProblemArrays.from_npz(task.problem)


def solve(problem: ProblemArrays, task: Task, *, most_allocated: bool) -> Answer:
    """Pods come workload after workload, in the file's order."""
    filling = Filling(problem)
    scheduler = Scheduler(filling, most_allocated=most_allocated)
    if task.before is not None:
        scheduler.keep(np.load(task.before / PODS))
    for demand in range(len(problem.demands_covers_offsets) - 1):
        scheduler.schedule(demand)
    np.save(task.folder / PODS, np.array([(*place, count) for place, count in scheduler.pods.items()]))
    return Answer(replicas=filling.replicas)


def nodes_to_find(nodes: int) -> int:
    """Feasible nodes after which a search ends, of all nodes of the cluster; `numFeasibleNodesToFind`."""
    return nodes if nodes < FEWEST else max(FEWEST, nodes * max(5, 50 - nodes // 125) // 100)


class Scheduler:
    """The nodes, and where the next search begins."""

    def __init__(self, filling: Filling, *, most_allocated: bool) -> None:
        self._filling = filling
        self._most_allocated = most_allocated
        problem = filling.problem
        steps = problem.supplies_steps_offsets.astype(np.int64)
        first = problem.supplies_capacity_offsets.astype(np.int64)
        supplies = len(steps) - 1
        units = np.bincount(np.repeat(np.arange(supplies), np.diff(steps)), problem.supplies_steps_count, supplies)
        size = np.where(is_vehicle(problem), CELL, 1)
        nodes = np.ceil(units / size).astype(np.int64)
        self.supply = np.repeat(np.arange(supplies), nodes)
        """[nodes]"""
        place = np.arange(len(self.supply)) - np.repeat(np.cumsum(nodes) - nodes, nodes)
        held = np.minimum(size[self.supply], units[self.supply] - place * size[self.supply])
        self._resources = int(np.diff(first).max(initial=1))
        which, at = entries(first, self.supply)
        self.capacity = np.full((len(self.supply), self._resources), np.inf)
        self.capacity[which, at - first[self.supply][which]] = problem.supplies_capacity_amount[at] * held[which]
        """[nodes, resources]; infinite where a node has no such resource."""
        self.requested = np.zeros_like(self.capacity)
        self.sought = nodes_to_find(len(self.supply))
        self.pods: dict[tuple[int, int], int] = {}
        """How many by arc and node, in the order in which they were placed."""
        self._next = 0
        self._lot = np.random.default_rng(0)

    def keep(self, pods: np.ndarray) -> None:
        """Leave pods where they run."""
        for arc, node, count in pods.tolist():
            kept = self._filling.keep(arc, count)
            if kept > 0:
                self.pods[arc, node] = kept
                self.requested[node] += self._need(slice(arc, arc + 1))[0] * kept

    def schedule(self, demand: int) -> None:
        """Place pods until the demand is covered or no node helps."""
        filling, problem = self._filling, self._filling.problem
        arcs = filling.arcs(demand)
        yields = filling.yields(demand)
        need = self._need(arcs)
        while (missing := filling.missing(demand)).any():
            useful = filling.fits(arcs) & ((yields > 0.0) & (missing > 0.0)).any(axis=1)
            # What runs already comes first among the ways to run on a supply: it is the cheapest.
            chosen = np.flatnonzero(useful)
            chosen = chosen[np.argsort(-problem.arcs_cost[arcs][chosen], kind="stable")]
            way = np.full(len(problem.supplies_steps_offsets) - 1, -1)
            way[problem.arcs_supply[arcs][chosen]] = chosen
            if not self._place_alike(demand, arcs.start, way, need):
                return

    def _need(self, arcs: slice) -> np.ndarray:
        """[arcs, resources] of one replica."""
        problem = self._filling.problem
        which, at = entries(problem.arcs_use_offsets.astype(np.int64), np.arange(arcs.start, arcs.stop))
        need = np.zeros((arcs.stop - arcs.start, self._resources))
        need[which, problem.arcs_use_resource[at]] = problem.arcs_use_amount[at]
        return need

    def _place_alike(self, demand: int, first: int, way: np.ndarray, need: np.ndarray) -> bool:
        """Place pods while the same places help; whether any was placed."""
        filling = self._filling
        nodes = np.flatnonzero(way[self.supply] >= 0)
        local = way[self.supply[nodes]]
        asks, capacity = need[local], self.capacity[nodes]
        after = self.requested[nodes] + asks
        fits, score = self._fits(after, capacity), self._score(after, capacity)
        wanted = filling.missing(demand) > 0.0
        placed = False
        while np.array_equal(filling.missing(demand) > 0.0, wanted):
            found = self._sample(nodes, np.flatnonzero(fits))
            if found.size == 0:
                break
            best = np.flatnonzero(score[found] == score[found].max())
            at = int(found[best[self._lot.integers(len(best))]])
            arc = first + int(local[at])
            if filling.most(arc) == 0:
                break
            filling.place(arc, 1)
            placed = True
            self.pods[arc, int(nodes[at])] = self.pods.get((arc, int(nodes[at])), 0) + 1
            self.requested[nodes[at]] += asks[at]
            after[at] += asks[at]
            one = slice(at, at + 1)
            fits[one], score[one] = self._fits(after[one], capacity[one]), self._score(after[one], capacity[one])
        return placed

    def _sample(self, nodes: np.ndarray, feasible: np.ndarray) -> np.ndarray:
        """The feasible nodes that are found first from where the last search ended; the next begins behind them."""
        split = int(np.searchsorted(nodes[feasible], self._next))
        turned = np.concatenate([feasible[split:], feasible[:split]])[: self.sought]
        if len(turned) == self.sought:
            self._next = (int(nodes[turned[-1]]) + 1) % len(self.supply)
        return turned

    @staticmethod
    def _fits(after: np.ndarray, capacity: np.ndarray) -> np.ndarray:
        return (after <= capacity * (1.0 + SLACK)).all(axis=1)

    def _score(self, after: np.ndarray, capacity: np.ndarray) -> np.ndarray:
        """[nodes], whole percents: the mean over the resources that a node has."""
        has = capacity < np.inf
        percent = np.floor(np.where(has, after, 0.0) / np.where(has, capacity, 1.0) * 100.0)
        if not self._most_allocated:
            percent = np.where(has, 100.0 - percent, 0.0)
        return percent.sum(axis=1) // has.sum(axis=1)
