"""`kubectl parkade status`: is all well, what is not, what to do, and who is there."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from parkade.api import InferenceWorkload
from parkade.cluster.surveying import Survey
from parkade.kubectl.parts import leader, part_problems, unseen
from parkade.kubectl.problems import Level, Problem, found, grouped, worst_first
from parkade.kubectl.screen import Screen, problem_lines, table
from parkade.kubectl.things import misses_target, rests, thing_problems
from parkade.kubectl.words import lasting, listed, moment, number, printable

_CARS: Final = ("cells", "registered", "here", "eligible", "serving", "silent")
_MANY: Final = 4
"""Parts that are not shown for which one sentence is enough."""
Verdict = Literal["Well", "Warning", "Critical", "Unknown"]
ON_SCREEN: Final = 8
"""Problems on one screen; the others are counted, and `--all` shows them."""


@dataclass(frozen=True, slots=True)
class OperatorState:
    """Who leads, and how its work goes."""

    leader: str
    """Empty while nobody leads."""
    term: int
    renewed_seconds: float | None
    """Age of the Lease's last renewal."""
    last_cycle_seconds: float | None
    """Age of the last good cycle; null where the operator does not tell it."""
    trouble: str
    mode: str
    paused: bool


@dataclass(frozen=True, slots=True)
class PartState:
    """Carlets or routers."""

    alive: tuple[str, ...]
    gone: tuple[str, ...]
    """Their Lease ran out."""
    link_lost: tuple[str, ...] = ()
    """Carlets that do not reach the fleet link."""


@dataclass(frozen=True, slots=True)
class WorkloadState:
    """All workloads together."""

    total: int
    ready: int
    resting: int
    """Suspended, or nobody asks for them."""
    within_target: int
    """Ready, and neither planned nor observed to be late."""
    requests_per_second: float
    cost_per_hour: float
    """$."""
    watts: int
    grams_co2_per_hour: int


@dataclass(frozen=True, slots=True)
class VehiclePoolState:
    """Cars of a pool."""

    name: str
    region: str
    cells: int
    registered: int
    here: int
    eligible: int
    serving: int
    silent: int


@dataclass(frozen=True, slots=True)
class TritonPoolState:
    """Servers of a pool."""

    name: str
    region: str
    servers: int
    ready: int
    models: int


@dataclass(frozen=True, slots=True)
class GridEventState:
    """An event that is on or to come."""

    name: str
    regions: tuple[str, ...]
    start: str
    end: str
    acted_on: bool


@dataclass(frozen=True, slots=True)
class Status:
    """One screen."""

    at: datetime
    server: str
    system_namespace: str
    namespace: str
    """Of the workloads; empty: all."""
    verdict: Verdict
    """Unknown: nothing is wrong with what may be seen, and not everything may be."""
    problems: tuple[Problem, ...]
    operator: OperatorState
    carlets: PartState
    routers: PartState
    workloads: WorkloadState
    vehicle_pools: tuple[VehiclePoolState, ...]
    triton_pools: tuple[TritonPoolState, ...]
    grid_events: tuple[GridEventState, ...]
    not_shown: tuple[str, ...]
    """What could not be read, each with a sentence."""


def status_of(survey: Survey) -> Status:
    """Judge what was read."""
    problems = worst_first([*part_problems(survey), *thing_problems(survey)])
    return Status(
        at=survey.now,
        server=survey.server,
        system_namespace=survey.system,
        namespace=survey.namespace,
        verdict=_verdict(problems, survey),
        problems=problems,
        operator=_operator(survey),
        carlets=_part(survey, "carlet"),
        routers=_part(survey, "router"),
        workloads=_workloads(survey.workloads),
        vehicle_pools=tuple(
            VehiclePoolState(
                it.metadata.name, it.spec.region, it.status.cells, it.status.vehicles.registered,
                it.status.vehicles.here, it.status.vehicles.eligible, it.status.vehicles.serving,
                it.status.vehicles.silent,
            )
            for it in survey.vehicle_pools
        ),
        triton_pools=tuple(
            TritonPoolState(it.metadata.name, it.spec.region, it.status.servers, it.status.ready, it.status.models)
            for it in survey.triton_pools
        ),
        grid_events=tuple(
            GridEventState(
                it.metadata.name, tuple(it.spec.regions), it.spec.start, it.spec.end,
                found(it.status.conditions, "FieldsHonoured").status == "True",
            )
            for it in sorted(survey.grid_events, key=lambda it: it.spec.start.time)
            if it.spec.end.time > survey.now
        ),
        not_shown=unseen(survey),
    )  # fmt: skip


def _verdict(problems: tuple[Problem, ...], survey: Survey) -> Verdict:
    levels = {problem.level for problem in problems}
    if Level.CRITICAL in levels:
        return "Critical"
    if Level.WARNING in levels:
        return "Warning"
    return "Unknown" if survey.withheld else "Well"


def _operator(survey: Survey) -> OperatorState:
    leads, now = leader(survey), survey.now
    ended = moment(leads.says.get("last-cycle", "")) if leads else None
    return OperatorState(
        leader=leads.holder if leads else "",
        term=leads.term if leads else 0,
        renewed_seconds=(now - leads.renewed).total_seconds() if leads and leads.renewed else None,
        last_cycle_seconds=max(0.0, (now - ended).total_seconds()) if ended else None,
        trouble=leads.says.get("trouble", "") if leads else "",
        mode=survey.switches.mode,
        paused=survey.switches.paused,
    )


def _part(survey: Survey, component: str) -> PartState:
    leases = survey.of(component)
    alive = tuple(lease for lease in leases if lease.alive(survey.now))
    return PartState(
        alive=tuple(lease.name for lease in alive),
        gone=tuple(lease.name for lease in leases if lease not in alive),
        link_lost=tuple(lease.name for lease in alive if lease.says.get("link") == "lost"),
    )


def _workloads(workloads: tuple[InferenceWorkload, ...]) -> WorkloadState:
    ready = [it for it in workloads if found(it.status.conditions, "Ready").status == "True"]
    expected = [it.status.expected for it in workloads]
    return WorkloadState(
        total=len(workloads),
        ready=len(ready),
        resting=sum(map(rests, workloads)),
        within_target=sum(
            found(it.status.conditions, "SLOMet").status == "True" and not misses_target(it) for it in ready
        ),
        requests_per_second=sum(number(it.status.observed.rate) for it in workloads),
        cost_per_hour=sum(number(it.cost_per_hour) for it in expected),
        watts=sum(it.watts for it in expected),
        grams_co2_per_hour=sum(it.grams_co2_per_hour for it in expected),
    )


def render(status: Status, screen: Screen, *, everything: bool = False) -> str:
    """The screen: the verdict, problems worst first, then who is there."""
    blocks = [_headline(status, screen)]
    shown = status.problems if everything else grouped(status.problems)
    most = len(shown) if everything else ON_SCREEN
    blocks += [list(problem_lines(screen, problem)) for problem in shown[:most]]
    if shown[most:]:
        levels = [f"{sum(it.level == level for it in shown[most:])} {level.lower()}" for level in Level]
        blocks.append([f"and {', '.join(it for it in levels if it[0] != '0')} more: "
                       + screen.command("kubectl parkade status --all")])  # fmt: skip
    blocks.append(list(_parts(status, screen)))
    if status.not_shown:
        blocks.append([line for row in _hidden(status) for line in screen.wrapped(row, "  ", "Not shown: ")])
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _hidden(status: Status) -> list[str]:
    """Each part with its sentence, or one for many."""
    if len(status.not_shown) < _MANY:
        return list(status.not_shown)
    parts = ", ".join(row.partition(":")[0] for row in status.not_shown)
    return [f"{parts}: you may not read them; ask an administrator for the ClusterRole view, in the whole cluster"]


def _headline(status: Status, screen: Screen) -> list[str]:
    where = f"{status.server}, {status.at:%Y-%m-%d %H:%M:%S} UTC"
    if status.namespace:
        where = f"workloads of {status.namespace}, {where}"
    counts = [(level, sum(it.level == level for it in status.problems)) for level in Level]
    told = ", ".join(f"{amount} {level.lower()}" for level, amount in counts if amount)
    match status.verdict:
        case "Well":
            said = screen.paint("All is well", "green") + (f" ({told})" if told else "")
        case "Unknown":
            said = screen.paint("Nothing is wrong with what you may see", "yellow") + (f" ({told})" if told else "")
        case "Warning":
            said = screen.paint("Not all is well", "yellow") + f": {told}"
        case "Critical":
            said = screen.paint("NOT WELL", "red") + f": {told}"
    return [said, screen.paint(screen.clipped(where, screen.width), "dim")]


def _parts(status: Status, screen: Screen) -> Iterator[str]:
    for title, said in (
        ("Operator", _operator_line(status)),
        ("Carlets", _part_line(status.carlets, "Leases" if _blind(status, "leases") else "")),
        ("Routers", _part_line(status.routers, "Leases" if _blind(status, "leases") else "")),
        ("Workloads", _workload_line(status)),
        ("Grid events", _grid_line(status)),
    ):
        yield from screen.wrapped(said, " " * 13, title.ljust(13))
    if status.vehicle_pools:
        header = ("VEHICLE POOL", "REGION", "CELLS", "CARS", "HERE", "ELIGIBLE", "SERVING", "SILENT")
        rows = [(it.name, it.region, *(f"{getattr(it, name):,}" for name in _CARS)) for it in status.vehicle_pools]
        yield ""
        yield from table(screen, header, rows, right=(2, 3, 4, 5, 6, 7))
    if status.triton_pools:
        triton = [(it.name, it.region, str(it.servers), str(it.ready), str(it.models)) for it in status.triton_pools]
        yield ""
        yield from table(screen, ("TRITON POOL", "REGION", "SERVERS", "ANSWER", "MODELS"), triton, right=(2, 3, 4))


def _blind(status: Status, part: str) -> bool:
    return any(row.startswith(f"{part}:") for row in status.not_shown)


def _operator_line(status: Status) -> str:
    operator = status.operator
    if _blind(status, "leases"):
        leads = "not shown"
    elif not operator.leader:
        leads = "nobody leads"
    else:
        cycle = operator.last_cycle_seconds
        ended = "age of its last cycle not told" if cycle is None else f"last cycle {lasting(cycle)} ago"
        leads = f"{operator.leader} leads (term {operator.term}), {ended}"
    mode = "not shown" if _blind(status, "configmaps") else operator.mode
    return f"{leads}; mode {mode}{', PAUSED' if operator.paused else ''}"


def _part_line(part: PartState, hidden: str) -> str:
    if hidden:
        return "not shown"
    if not part.alive:
        return "none is alive"
    lost = f"; {listed(list(part.link_lost))} without the fleet link" if part.link_lost else ""
    return f"{len(part.alive)} alive ({listed(list(part.alive))}){lost}"


def _workload_line(status: Status) -> str:
    it = status.workloads
    if _blind(status, "inferenceworkloads"):
        return "not shown"
    if not it.total:
        return "none" + (f" in {status.namespace}" if status.namespace else "")
    resting = f", {it.resting} resting" if it.resting else ""
    return (
        f"{it.ready} of {it.total} ready{resting}, {it.within_target} within their targets; "
        f"{it.requests_per_second:,.3g} requests/s; expected {it.cost_per_hour:,.2f} $/h, {it.watts:,} W, "
        f"{it.grams_co2_per_hour:,} g CO2/h"
    )


def _grid_line(status: Status) -> str:
    if _blind(status, "gridevents"):
        return "not shown"
    on = [it.name for it in status.grid_events if (moment(it.start) or status.at) <= status.at]
    ahead = [it for it in status.grid_events if it.name not in on]
    parts = [f"{listed(on)} now"] if on else []
    if ahead:
        start = moment(ahead[0].start) or status.at
        parts.append(f"next {printable(ahead[0].name)} in {lasting((start - status.at).total_seconds())}")
    return "; ".join(parts) or "none"
