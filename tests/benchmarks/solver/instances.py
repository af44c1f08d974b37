"""The instances, by names such as `dense:1000x1000`, `uniform:100x100` and `fleet:10kx1M+limits*2`.

- `dense:WxK`: W demands of two covers, K supplies, a tenth of them server pools of two resources; an arc for each pair;
- `uniform:WxK`: one cover, one resource, one replica a unit, yields that depend on the demand alone, so that a minimum
  cost flow solves it exactly;
- `fleet:WxV`: what `parkade generate-problem` makes for W workloads and V vehicles; `+limits` with limits, `*2` with
  twice the demand.
"""

import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from parkade.errors import InvalidInput
from parkade.problem.arrays import ProblemArrays, offsets_of

SEED = 7
CHANGED = 0.05
"""Share of the demands that change before the second solve,"""
BY = 0.3
"""by at most this share of their quantities."""
_NAME = re.compile(r"(dense|uniform|fleet):(\d+)([kM]?)x(\d+)([kM]?)(\+limits)?(?:\*([\d.]+))?")
_TIMES = {"": 1, "k": 1_000, "M": 1_000_000}
STEPS_PER_VEHICLE = 0.1
SERVERS_PER_WORKLOAD = 0.7


@dataclass(frozen=True)
class Size:
    """One instance by its numbers."""

    name: str
    kind: str
    demands: int
    supplies: int
    """Vehicles, of a fleet."""
    limits: bool
    scale: float

    @property
    def arguments(self) -> list[str]:
        """Of `parkade generate-problem`."""
        steps, servers = round(self.supplies * STEPS_PER_VEHICLE), round(self.demands * SERVERS_PER_WORKLOAD)
        return [f"--workloads={self.demands}", f"--vehicles={self.supplies}", f"--steps={max(10, steps)}",
                f"--servers={max(2, servers)}", f"--seed={SEED}", f"--demand-scale={self.scale:g}",
                *(["--limits"] if self.limits else [])]  # fmt: skip


def parse(name: str) -> Size:
    """The size that a name means.

    Raises:
        InvalidInput: the name means none.
    """
    found = _NAME.fullmatch(name)
    if found is None or (found[1] != "fleet" and (found[6] or found[7])):
        raise InvalidInput(f"{name} is no size; write dense:100x100, uniform:100x100 or fleet:10kx1M+limits*2")
    demands, supplies = int(found[2]) * _TIMES[found[3]], int(found[4]) * _TIMES[found[5]]
    return Size(name, found[1], demands, supplies, bool(found[6]), float(found[7] or 1))


def file(size: Size, cache: Path) -> Path:
    """The instance's file, made when it is not in the cache yet."""
    name = "_".join([size.kind, str(size.demands), str(size.supplies), f"{size.scale:g}", f"seed{SEED}"])
    path = cache / f"{name}{'_limits' if size.limits else ''}.npz"
    if path.exists():
        return path
    cache.mkdir(parents=True, exist_ok=True)
    made = path.with_suffix(".part")
    if size.kind == "fleet":
        command = [sys.executable, "-m", "parkade", "generate-problem", *size.arguments, "-o", str(made)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    else:
        dense(size.demands, size.supplies, uniform=size.kind == "uniform").to_npz(made)
    return made.replace(path)


def changed(problem: ProblemArrays) -> ProblemArrays:
    """The problem after 5 % of the demands changed by up to 30 %; covers that count replicas stay."""
    random = np.random.default_rng(SEED)
    demands = len(problem.demands_covers_offsets) - 1
    factor = np.ones(demands)
    chosen = random.choice(demands, max(1, round(CHANGED * demands)), replace=False)
    factor[chosen] = random.uniform(1.0 - BY, 1.0 + BY, len(chosen))
    of_cover = np.repeat(factor, np.diff(problem.demands_covers_offsets.astype(np.int64)))
    if problem.demands_covers_id is not None:
        of_cover[np.char.startswith(problem.demands_covers_id, "min-replicas")] = 1.0
    return replace(problem, demands_covers_quantity=problem.demands_covers_quantity * of_cover)


def dense(demands: int, supplies: int, *, uniform: bool = False) -> ProblemArrays:
    """Every demand on every supply; about half of the capacity is needed."""
    random = np.random.default_rng(SEED)
    pools = np.zeros(supplies, bool) if uniform else np.arange(supplies) % 10 == 9
    speed = random.lognormal(3.0, 0.4, demands)
    rate = 60.0 / np.arange(1, demands + 1) ** 0.75
    rate *= supplies / rate.sum() * 6.0
    quantity = np.stack([rate * speed, np.full(demands, 2.0)], axis=1)[:, : 1 if uniform else 2]
    faster = np.ones(supplies) if uniform else np.where(pools, 8.0, random.uniform(0.6, 1.6, supplies))
    yields = np.minimum(speed[:, None] * faster[None, :], quantity[:, :1])
    yields = yields[:, :, None] if uniform else np.stack([yields, np.ones_like(yields)], axis=2)
    resources = np.where(pools, 2, 1)
    offsets = offsets_of(resources)
    capacity = np.ones(offsets[-1])
    capacity[offsets[1:][pools] - 1] = 80.0
    use = np.ones((demands, offsets[-1]))
    if not uniform:
        use /= random.integers(1, 4, demands)[:, None]
        use[:, offsets[:-1][pools]] = random.uniform(0.02, 0.2, (demands, 1))
        use[:, offsets[1:][pools] - 1] = random.uniform(1.0, 8.0, (demands, 1))
    cost = random.uniform(0.001, 0.03, (demands, supplies))
    most = np.ceil(quantity[:, :1] / yields[:, :, 0]) + 2
    short = np.stack([2.0 / speed, np.ones(demands)], axis=1)[:, : quantity.shape[1]]
    names = np.concatenate([["compute", "memory"] if pool else ["unit"] for pool in pools])
    return ProblemArrays.from_mapping({
        "version": np.array(1),
        "demands.covers_offsets": np.arange(demands + 1, dtype=np.uint32) * quantity.shape[1],
        "demands.covers.quantity": quantity.ravel(),
        "demands.covers.short_cost": short.ravel(),
        "supplies.steps_offsets": np.arange(supplies + 1, dtype=np.uint32) * 4,
        "supplies.steps.count": np.where(pools[:, None], 1, np.full((supplies, 4), 3)).ravel().astype(np.uint32),
        "supplies.steps.cost": np.sort(np.where(pools[:, None], random.uniform(1.3, 1.8, (supplies, 4)),
                                                random.uniform(0.04, 0.16, (supplies, 4)))).ravel(),
        "supplies.capacity_offsets": offsets.astype(np.uint32),
        "supplies.capacity.name": names,
        "supplies.capacity.amount": capacity,
        "arcs.demand": np.repeat(np.arange(demands, dtype=np.uint32), supplies),
        "arcs.supply": np.tile(np.arange(supplies, dtype=np.uint32), demands),
        "arcs.cost": cost.ravel().astype(np.float32),
        "arcs.max": most.ravel().astype(np.uint32),
        "arcs.yields": yields.ravel().astype(np.float32),
        "arcs.use_offsets": offsets_of(np.tile(resources, demands)).astype(np.uint32),
        "arcs.use.resource": np.tile(np.concatenate([np.arange(n) for n in resources]), demands).astype(np.uint8),
        "arcs.use.amount": _down(use.ravel()),
        "limits.bound": np.zeros(0),
        "limits.terms_offsets": np.zeros(1, np.uint32),
        "limits.terms.arc": np.zeros(0, np.uint32),
        "limits.terms.coefficient": np.zeros(0, np.float32),
    })  # fmt: skip


def _down(values: np.ndarray) -> np.ndarray:
    """In single precision, never above: three replicas of a third must fit one unit."""
    single = values.astype(np.float32)
    return np.where(single > values, np.nextafter(single, np.float32(0)), single).astype(np.float32)
