"""A whole placement problem from a few sizes and a seed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from parkade.problem.arrays import Array, ProblemArrays
from parkade.simulate.arcs import Block, Scene, block_of
from parkade.simulate.covers import cover_names
from parkade.simulate.limits import limits_of, no_limits
from parkade.simulate.numbers import stream
from parkade.simulate.places import (
    FLEETS,
    MEMORY_GB,
    OFFERED,
    Places,
    draw_places,
    region_count,
    supply_count,
)
from parkade.simulate.reaching import capacity, classes_of
from parkade.simulate.regions import draw_regions
from parkade.simulate.workloads import draw_workloads

_BLOCK = 256
"""Workloads expanded at a time: keeps the working memory at some hundred megabytes."""
_MOST_OF_MARKET = 0.05
"""Of what all places that may run it could answer, a workload asks for no more: who needs a tenth of Norway's cars
does not restrict itself to Norway."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What an instance is made from; see `docs/placement.md` for the supplies that follow from it."""

    workloads: int
    vehicles: int
    steps: int
    """Price steps over all vehicle supplies; each has at least one, and at most one a car."""
    servers: int
    seed: int
    limits: bool = False
    """Whether zones' power and new replicas are limited."""
    demand_scale: float = 1.0
    """Factor on every requested rate; nothing else changes."""


def generate(sizes: Sizes) -> ProblemArrays:
    """The problem; equal sizes give equal arrays."""
    regions = draw_regions(stream(sizes.seed, 0), region_count(supply_count(sizes.vehicles)))
    places = draw_places(stream(sizes.seed, 1), regions, sizes.vehicles, sizes.steps, sizes.servers)
    workloads = draw_workloads(stream(sizes.seed, 2), regions, sizes.workloads, round(OFFERED * sizes.vehicles))
    classes = classes_of(places, regions)
    most = _MOST_OF_MARKET * capacity(workloads, slice(None), classes, regions, places)
    workloads = replace(workloads, demand=np.minimum(workloads.demand, np.where(most > 0.0, most, np.inf)))
    scene = Scene(regions, places, classes, workloads, sizes.demand_scale)
    blocks = list(_blocks(scene, sizes))
    found = _supplies(places) | _demands(scene, blocks) | _arcs(places, blocks)
    if sizes.limits:
        uses = found["arcs.use.amount"][found["arcs.use_offsets"][:-1]]
        kept = np.concatenate([block.kept for block in blocks])
        has_kept = np.zeros(sizes.workloads, bool)
        has_kept[found["arcs.demand"][kept]] = True
        arcs = (found["arcs.supply"], uses, found["arcs.max"], kept, has_kept[found["arcs.demand"]])
        found |= limits_of(stream(sizes.seed, 4), regions, places, arcs, sum(block.missing for block in blocks))
    else:
        found |= no_limits()
    return ProblemArrays.from_mapping(found | {"version": np.array(1)})


def _blocks(scene: Scene, sizes: Sizes) -> Iterator[Block]:
    random = stream(sizes.seed, 3)
    for start in range(0, sizes.workloads, _BLOCK):
        yield block_of(scene, slice(start, min(start + _BLOCK, sizes.workloads)), random)


def _supplies(places: Places) -> dict[str, Array]:
    pools = len(places.names) - places.vehicles
    memory = MEMORY_GB[places.hardware[places.vehicles :]]
    amounts = np.stack([np.ones(pools), memory], axis=1).ravel()
    return {
        "supplies.id": np.array(places.names),
        "supplies.steps_offsets": places.steps_offsets.astype(np.uint32),
        "supplies.steps.count": places.steps_count.astype(np.uint32),
        "supplies.steps.cost": places.steps_cost,
        "supplies.capacity_offsets": np.concatenate(
            [np.arange(places.vehicles), places.vehicles + 2 * np.arange(pools + 1)]
        ).astype(np.uint32),
        "supplies.capacity.name": np.array(["unit"] * places.vehicles + ["compute", "memory"] * pools),
        "supplies.capacity.amount": np.concatenate([np.ones(places.vehicles), amounts]),
    }


def _demands(scene: Scene, blocks: list[Block]) -> dict[str, Array]:
    wanted = np.concatenate([block.wanted for block in blocks])
    workload, kind = np.nonzero(wanted)
    return {
        "demands.id": np.array([f"workload-{at}" for at in range(len(wanted))]),
        "demands.covers_offsets": np.concatenate([[0], np.cumsum(wanted.sum(axis=1))]).astype(np.uint32),
        "demands.covers.id": np.array(cover_names(scene.workloads, workload, kind, scene.regions)),
        "demands.covers.quantity": np.concatenate([block.quantity for block in blocks])[wanted],
        "demands.covers.short_cost": np.concatenate([block.short_cost for block in blocks])[wanted],
    }


def _arcs(places: Places, blocks: list[Block]) -> dict[str, Array]:
    place = np.concatenate([block.place for block in blocks])
    server = (places.fleet == len(FLEETS))[place]
    both = np.stack([np.ones(len(place), bool), server], axis=1)
    return {
        "arcs.demand": np.concatenate([block.demand for block in blocks]),
        "arcs.supply": place,
        "arcs.cost": np.concatenate([block.cost for block in blocks]),
        "arcs.max": np.concatenate([block.most for block in blocks]),
        "arcs.yields": np.concatenate([block.yields for block in blocks]),
        "arcs.use_offsets": np.concatenate([[0], np.cumsum(1 + server)]).astype(np.uint32),
        "arcs.use.resource": np.broadcast_to(np.array([0, 1], np.uint8), both.shape)[both],
        "arcs.use.amount": np.concatenate([block.use for block in blocks]),
    }
