"""Replicas onto real cells and servers: keep what runs, then fill; what fits nowhere is reported.

The problem pools the cars of a place and the servers of a pool; a car or a server cannot be pooled.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from parkade.api import VehicleCell
from parkade.problem.current import fits, in_cell, on_servers, place_id
from parkade.problem.framing import Framed
from parkade.problem.supply import Place, cell_columns
from parkade.snapshot import Snapshot, TritonServer
from parkade.units import BYTES_PER_GB

Wanted = Mapping[tuple[int, int], int]
"""Replicas by (workload, place), as indices of the framing."""

_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Packed:
    """Where every replica goes."""

    cells: Mapping[tuple[int, int, str], int]
    """Replicas by (workload, place, cell)."""
    servers: Mapping[tuple[int, int, str], int]
    """Instances by (workload, place, `host:port`); offline, by the addresses that the manifest lists."""
    left: Mapping[tuple[int, int], int]
    """Replicas by (workload, place) that fit nowhere."""
    units: Mapping[int, int]
    """Servers used, by Triton place; cars are what the solution says."""


@dataclass(slots=True)
class _Server:
    http: str
    compute: float
    memory: float
    slots: int
    holds: Counter[int] = field(default_factory=Counter)
    """Instances by workload."""


@dataclass(frozen=True, slots=True)
class _Item:
    """What one instance of a workload takes of a server."""

    workload: int
    compute: float
    memory: float
    apart: int
    """Servers that shall hold it."""
    count: int


@dataclass(frozen=True, slots=True)
class Solved:
    """What a solution wants packed."""

    wanted: Wanted
    apart: Wanted
    """Of these, replicas that shall stand alone on their server."""
    units: Sequence[int]
    """Cars or servers by place that the solution takes."""


def pack(framed: Framed, snapshot: Snapshot, solved: Solved, *, offline: bool = False) -> Packed:
    """Pack every place.

    Args:
        framed: the problem in names.
        snapshot: cells and servers, and what they hold.
        solved: the solution's replicas.
        offline: whether there are no cells yet, and the servers are those that the manifests list.
    """
    cells: dict[tuple[int, int, str], int] = {}
    servers: dict[tuple[int, int, str], int] = {}
    left: dict[tuple[int, int], int] = {}
    used = {index: 0 for index, place in enumerate(framed.places) if place.tier == "Datacenter"}
    wanted_at: dict[int, dict[int, int]] = defaultdict(dict)
    for (workload, at), count in sorted(solved.wanted.items()):
        if count > 0:
            wanted_at[at][workload] = count
    servers_of = _servers_of(snapshot)
    for index, here in sorted(wanted_at.items()):
        place = framed.places[index]
        if place.tier == "Vehicle":
            if offline:
                continue
            onto_cells, missing = _into_cells(framed, snapshot, (place, framed.offered.get(place.pool, ())), here)
            cells |= {(workload, index, cell): count for (workload, cell), count in onto_cells.items()}
        else:
            items = _items(framed, index, here, solved.apart)
            live = {} if offline else servers_of.get(place.pool, {})
            held = {
                it.workload: on_servers(list(live.values()), framed.workloads[it.workload].resource, place)
                for it in items
            }
            addresses = _addresses(snapshot, place) if offline else sorted(live)
            holding = Counter(http for at in held.values() for http in at)
            addresses.sort(key=lambda http: (-holding[http], http))
            # the others are kept free
            chosen = [_server(framed, live.get(http), place, http) for http in addresses[: place.units]]
            onto_servers, missing = _onto_servers(chosen, items, held, solved.units[index])
            servers |= {(workload, index, http): count for (workload, http), count in onto_servers.items()}
            used[index] = len({http for _, http in onto_servers})
        left |= {(workload, index): count for workload, count in missing.items() if count > 0}
    return Packed(cells, servers, left, used)


def _servers_of(snapshot: Snapshot) -> dict[str, dict[str, TritonServer]]:
    """Live servers by pool and `host:port`."""
    found: dict[str, dict[str, TritonServer]] = defaultdict(dict)
    for server in snapshot.servers:
        if server.live:
            found[server.pool][server.http] = server
    return found


def _into_cells(
    framed: Framed, snapshot: Snapshot, where: tuple[Place, Sequence[VehicleCell]], here: Mapping[int, int]
) -> tuple[dict[tuple[int, str], int], dict[int, int]]:
    """Keep what the cells hold, then prefer cells that hold the workload, then the emptiest; fewest pairs."""
    place, cells = where
    room, holds = _cell_room(framed, snapshot, place, cells)
    found: dict[tuple[int, str], int] = defaultdict(int)
    left = dict(here)
    share = {w: 1.0 / fits(place, framed.workloads[w].resource.spec.model.memory.bytes) for w in here}
    order = sorted(here, key=lambda w: (-share[w], framed.workloads[w].key))
    for workload in order:
        for cell in sorted(room):
            kept = min(left[workload], holds.get((framed.workloads[workload].key, cell), 0))
            taken = _take(room[cell], share[workload], kept)
            found[workload, cell] += taken
            left[workload] -= taken
    for workload in order:
        open_cells = room.keys() - snapshot.cordoned_cells
        by_preference = sorted(open_cells, key=lambda cell: (found[workload, cell] == 0, -_free(room[cell]), cell))
        for cell in by_preference:
            taken = _take(room[cell], share[workload], left[workload])
            found[workload, cell] += taken
            left[workload] -= taken
    return {pair: count for pair, count in sorted(found.items()) if count > 0}, left


def _cell_room(
    framed: Framed, snapshot: Snapshot, place: Place, cells: Sequence[VehicleCell]
) -> tuple[dict[str, Counter[float]], dict[tuple[str, str], int]]:
    """Cars by free share in each cell's column, and what is kept there by (workload, cell).

    Workloads that exist but cannot be read keep their cars, and so do older models whose successor cannot be had.
    """
    pool = next(pool for pool in snapshot.vehicle_pools if pool.key == place.pool)
    room: dict[str, Counter[float]] = {}
    holds: dict[tuple[str, str], int] = defaultdict(int)
    for cell in cells:
        foreign = sum(
            a.replicas
            for a in cell.spec.assignments
            if a.workload in snapshot.unreadable or framed.keeps(a.workload, a.digest)
        )
        cars = 0
        for column in cell_columns(cell, pool):
            untouched = max(0, column.vehicles - foreign)
            foreign -= column.vehicles - untouched
            cars += untouched if place_id(pool, column) == place.id else 0
        room[cell.key] = Counter({1.0: cars})
        for key, where, kept in in_cell(cell, pool, framed.resources, framed.failed):
            if where == place.id:
                holds[key, cell.key] += kept.replicas
    return room, holds


def _take(cars: Counter[float], share: float, most: int) -> int:
    """Put up to `most` replicas that take `share` of a car each into the fullest cars that have room; how many did."""
    taken = 0
    while taken < most:
        fitting = [free for free, count in cars.items() if count > 0 and free >= share - _TINY]
        if not fitting:
            break
        free = min(fitting)
        in_each = 1 if share >= 1.0 - _TINY else int(free / share + _TINY)
        whole = min(cars[free], max(1, (most - taken) // max(1, in_each)))
        replicas = min(most - taken, whole * in_each)
        full, rest = divmod(replicas, in_each)
        cars[free] -= full + (rest > 0)
        cars[max(0.0, free - in_each * share)] += full
        if rest:
            cars[free - rest * share] += 1
        taken += replicas
    return taken


def _free(cars: Counter[float]) -> float:
    return sum(free * count for free, count in cars.items())


def _server(framed: Framed, server: TritonServer | None, place: Place, http: str) -> _Server:
    """An empty server, but for older models whose successor cannot be had."""
    models = [(framed.waiting[m.name], m) for m in (server.models if server else ()) if m.name in framed.waiting]
    foreign = [(workload, model) for workload, model in models if not model.failure]
    taken = sum(model.instances * workload.spec.model.memory.bytes for workload, model in foreign)
    slots = place.slots - sum(model.instances for _, model in foreign)
    return _Server(http, 1.0, (place.memory - taken) / BYTES_PER_GB, slots)


def _items(framed: Framed, place: int, here: Mapping[int, int], apart: Wanted) -> list[_Item]:
    """Largest first, so that what is hard to fit is placed while there is room."""
    found = []
    for workload, count in here.items():
        use = dict(framed.ways[framed.pairs[workload, place][0]].use)
        found.append(_Item(workload, use["compute"], use["memory"], apart.get((workload, place), 0), count))
    return sorted(found, key=lambda item: (-item.compute, -item.memory, framed.workloads[item.workload].key))


def _onto_servers(
    servers: Sequence[_Server], items: Sequence[_Item], held: Mapping[int, Mapping[str, int]], units: int
) -> tuple[dict[tuple[int, str], int], dict[int, int]]:
    """First the instances that stand apart, each on its own server; then what is kept; then the emptiest server.

    The solution's number of servers is tried first; another one is used rather than leaving a replica out.
    """
    chosen, spare = servers[:units], servers[units:]
    left = {}
    for item in items:
        remaining = item.count
        for number in range(item.count):
            alone = number < item.apart
            server = next(_candidates(chosen, item, held[item.workload], alone=alone), None) or next(
                _candidates(spare, item, held[item.workload], alone=alone), None
            )
            if server is None and alone:
                continue
            if server is None:
                break
            server.compute -= item.compute
            server.memory -= item.memory
            server.slots -= 1
            server.holds[item.workload] += 1
            remaining -= 1
        left[item.workload] = remaining
    found = {(w, server.http): count for server in servers for w, count in server.holds.items()}
    return dict(sorted(found.items())), left


def _candidates(servers: Sequence[_Server], item: _Item, held: Mapping[str, int], *, alone: bool) -> Iterator[_Server]:
    """Servers with room: those that hold more of it than planned so far, then those with fewest, then the emptiest."""
    fitting = [
        server
        for server in servers
        if server.slots > 0
        and server.compute >= item.compute - _TINY
        and server.memory >= item.memory - _TINY
        and not (alone and server.holds[item.workload])
    ]
    yield from sorted(
        fitting,
        key=lambda server: (
            server.holds[item.workload] >= held.get(server.http, 0),
            server.holds[item.workload],
            -server.compute,
            server.http,
        ),
    )


def _addresses(snapshot: Snapshot, place: Place) -> list[str]:
    """That the manifest lists."""
    pool = next(pool for pool in snapshot.triton_pools if pool.key == place.pool)
    return sorted(url.http for url in pool.spec.endpoints.urls or ())
