"""Where one solve ended, for the next problem of the same world: by ids, because indices change with every workload.

An arc is known by its demand and its supply: replicas that were new in one problem are kept in the next. What a pair
had goes to its arcs from the cheapest, up to what each may have. Where units became cheaper or dearer the next solve
starts from nothing: what runs is then still cheaper by what a move costs.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from parkade.errors import InvalidProblem
from parkade.problem.arrays import Array, ProblemArrays
from parkade.solver.arrays import SolutionArrays
from parkade.solver.prepared import Prepared
from parkade.solver.solve import State, Terms, prove, running
from parkade.solver.standing import question, standing

DEARER: Final = 0.01
"""Change of the cheapest unit of a supply, from which on the last state is no place to start from."""


@dataclass(frozen=True, slots=True, eq=False)
class _Names:
    """Of everything that a state speaks of, by its index."""

    demands: Sequence[Hashable]
    covers: Sequence[Hashable]
    supplies: Sequence[Hashable]
    resources: Sequence[Hashable]
    limits: Sequence[Hashable]

    @classmethod
    def of(cls, problem: ProblemArrays) -> "_Names":
        given = problem.demands_id, problem.demands_covers_id, problem.supplies_id, problem.limits_id
        if any(ids is None for ids in given):
            raise InvalidProblem("a problem without ids cannot be remembered; name its demands, supplies and limits")
        demands, covers, supplies, limits = (ids.tolist() for ids in given if ids is not None)
        return cls(
            demands,
            _within(demands, problem.demands_covers_offsets, covers),
            supplies,
            _within(supplies, problem.supplies_capacity_offsets, problem.supplies_capacity_name.tolist()),
            limits,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Amounts:
    """Replicas by demand and supply."""

    demand: Array
    supply: Array
    amount: Array

    @classmethod
    def of(cls, problem: ProblemArrays, arcs: Array, amount: Array) -> "_Amounts":
        return cls(problem.arcs_demand[arcs], problem.arcs_supply[arcs], amount)

    def on_arcs(self, problem: ProblemArrays, demands: Array, supplies: Array) -> tuple[Array, Array]:
        """Arcs of the pairs, and what each gets; `demands` and `supplies` say where the old ones are, or -1."""
        demand, supply = demands[self.demand], supplies[self.supply]
        there = (demand >= 0) & (supply >= 0)
        width = len(problem.supplies_steps_offsets) - 1
        pairs, pair = np.unique(demand[there] * width + supply[there], return_inverse=True)
        total = np.bincount(pair, self.amount[there], len(pairs))
        arcs, of_pair = _arcs_of(problem, pairs, width)
        order = np.lexsort((problem.arcs_cost[arcs], of_pair))
        arcs, of_pair = arcs[order], of_pair[order]
        most = problem.arcs_max[arcs].astype(np.float64)
        before = np.cumsum(most) - most
        first = np.searchsorted(of_pair, of_pair)
        return arcs, np.clip(total[of_pair] - (before - before[first]), 0.0, most)


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """The state of a solve, by ids."""

    names: _Names
    state: State
    flow: _Amounts
    replicas: _Amounts
    cheapest: Array
    """[K], $/h of a unit when a solve last started from nothing; NaN where there was none."""
    question: bytes

    @classmethod
    def of(cls, problem: ProblemArrays, state: State) -> "Memory":
        """Keep what a solve of the problem left."""
        flow = _Amounts.of(problem, state["arcs"], state["flow"])
        replicas = _Amounts.of(problem, state["replicas.arc"], state["replicas.count"])
        return cls(_Names.of(problem), state, flow, replicas, _cheapest(problem), question(problem))

    def state_for(self, problem: ProblemArrays) -> State | None:
        """The state as a solve of another problem takes it, if it may; what is new there starts from nothing."""
        old, new = self.names, _Names.of(problem)
        if not self._same_costs(problem, new):
            return None
        arcs, flow = self.flow.on_arcs(problem, *self._where(new))
        return {
            "rents": _moved(self.state["rents"], _places(old.supplies, new.supplies), 0.0),
            "weights": self._weights(problem, new),
            "multipliers": _moved(self.state["multipliers"], _places(old.limits, new.limits), 0.0),
            "unit_prices": _moved(self.state["unit_prices"], _places(old.supplies, new.supplies), np.nan),
            "limit_prices": _moved(self.state["limit_prices"], _places(old.limits, new.limits), np.nan),
            "theta": _moved(self.state["theta"], _places(old.covers, new.covers), np.nan),
            "arcs": arcs,
            "flow": flow,
            **running(self.plan_in(problem)),
        }

    def plan_in(self, problem: ProblemArrays) -> Array:
        """[arcs] of another problem, the last plan."""
        arcs, counts = self.replicas.on_arcs(problem, *self._where(_Names.of(problem)))
        replicas = np.zeros(len(problem.arcs_demand), np.int64)
        replicas[arcs] = np.rint(counts)
        return replicas

    def standing(self, problem: ProblemArrays, fresh: SolutionArrays) -> SolutionArrays | None:
        """The last plan, where it still fits, and nothing that it was decided on has changed or it is no dearer."""
        stands = standing(problem, self.plan_in(problem), fresh)
        if stands is None or stands.objective <= fresh.objective:
            return stands
        same = self.question != b"" and self.question == question(problem)
        return stands if same and stands.replicas.sum() == self.replicas.amount.sum() else None

    def since(self, before: "Memory") -> "Memory":
        """The same, with the costs from which another state has been carried on."""
        known = _moved(before.cheapest, _places(before.names.supplies, self.names.supplies), np.nan)
        return replace(self, cheapest=np.where(np.isnan(known), self.cheapest, known))

    def _where(self, new: _Names) -> tuple[Array, Array]:
        """Where the demands and the supplies are now, or -1."""
        return _places(new.demands, self.names.demands), _places(new.supplies, self.names.supplies)

    def _same_costs(self, problem: ProblemArrays, new: _Names) -> bool:
        """A little at a time counts too: the costs are those of the last start from nothing."""
        before = _moved(self.cheapest, _places(self.names.supplies, new.supplies), np.nan)
        return not bool((np.abs(_cheapest(problem) - before) > DEARER * np.maximum(np.abs(before), 1e-9)).any())

    def _weights(self, problem: ProblemArrays, new: _Names) -> Array:
        """Of resources in their supply's load; equal ones where a supply has others than before."""
        known = _moved(self.state["weights"], _places(self.names.resources, new.resources), 0.0)
        lengths = np.ediff1d(problem.supplies_capacity_offsets)
        supply = np.repeat(np.arange(len(lengths)), lengths)
        useful = (problem.supplies_capacity_amount > 0.0).astype(np.float64)
        count = np.bincount(supply, useful, len(lengths))
        whole = np.abs(np.bincount(supply, known, len(lengths)) - 1.0) < 1e-9
        return np.where(whole[supply], known, useful / np.maximum(count, 1.0)[supply])


def solve_from(problem: ProblemArrays, memory: Memory | None, terms: Terms) -> tuple[SolutionArrays, Memory]:
    """Solve from where the last solve ended, if there is one; and remember where this one ends.

    Raises:
        InvalidProblem: an entry breaks the format, or has no id.
    """
    last = None if memory is None else memory.state_for(problem)
    solved = prove(Prepared.of(problem), terms, last)
    if memory is None or last is None:
        return solved.solution, Memory.of(problem, solved.state)
    stands = memory.standing(problem, solved.solution)
    if stands is not None:
        solved = replace(solved, solution=stands, state={**solved.state, **running(stands.replicas)})
    return solved.solution, Memory.of(problem, solved.state).since(memory)


def _cheapest(problem: ProblemArrays) -> Array:
    """[K], $/h of the cheapest unit; NaN where there is none."""
    offsets = problem.supplies_steps_offsets
    found = np.full(len(offsets) - 1, np.inf)
    np.minimum.at(found, np.repeat(np.arange(len(found)), np.ediff1d(offsets)), problem.supplies_steps_cost)
    return np.where(np.isfinite(found), found, np.nan)


def _within(owners: Sequence[str], offsets: Array, names: Sequence[str]) -> list[tuple[str, str]]:
    """Each name with that of its owner."""
    lengths = np.diff(offsets.astype(np.int64)).tolist()
    owner = (name for name, length in zip(owners, lengths, strict=True) for _ in range(length))
    return list(zip(owner, names, strict=True))


def _places(there: Sequence[Hashable], names: Sequence[Hashable]) -> Array:
    """The index of each name there, or -1."""
    index = {name: at for at, name in enumerate(there)}
    return np.array([index.get(name, -1) for name in names], dtype=np.int64)


def _moved(values: Array, places: Array, missing: float) -> Array:
    """Values at the places; `missing` where there is none."""
    found = np.full(len(places), missing)
    found[places >= 0] = values[places[places >= 0]]
    return found


def _arcs_of(problem: ProblemArrays, pairs: Array, width: int) -> tuple[Array, Array]:
    """The arcs of rising pairs (demand * width + supply), and which pair each belongs to."""
    key = problem.arcs_demand.astype(np.int64) * width + problem.arcs_supply
    order = None if (key[1:] >= key[:-1]).all() else np.argsort(key, kind="stable")
    key = key if order is None else key[order]
    first, end = np.searchsorted(key, pairs), np.searchsorted(key, pairs, side="right")
    lengths = end - first
    pair = np.repeat(np.arange(len(pairs)), lengths)
    at = np.arange(len(pair)) + np.repeat(first - (np.cumsum(lengths) - lengths), lengths)
    return at if order is None else order[at], pair
