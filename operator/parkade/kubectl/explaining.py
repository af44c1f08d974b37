"""`kubectl parkade explain WORKLOAD`: where it runs and why, what each place says, and how it does."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from parkade.api import Condition, InferenceWorkload, Reason
from parkade.cluster.surveying import EventFace, Survey
from parkade.errors import InvalidInput
from parkade.kubectl.happenings import event_lines
from parkade.kubectl.problems import Problem, worst_first
from parkade.kubectl.screen import Colour, Screen, problem_lines, table
from parkade.kubectl.things import workload_problems
from parkade.kubectl.words import age, count, listed, moment, number, printable

NEWEST: Final = 6
"""Events shown."""
_TRUTH: Final[dict[str, Colour]] = {"True": "green", "False": "red", "Unknown": "yellow"}


@dataclass(frozen=True, slots=True)
class PlaceState:
    """One place of a workload: what is ordered there, what answers, and why it was chosen."""

    place: str
    tier: str
    region: str
    ordered: int | None
    """Replicas that cars of a cell are to hold; null for a Triton pool, which has no such record."""
    ready: int
    share: int
    """Percent of the expected rate."""
    reason: str
    """Why it was chosen; empty of a place that is left."""
    message: str
    """That reason as a sentence, and why fewer are ready than ordered."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One workload."""

    at: datetime
    namespace: str
    name: str
    model: str
    url: str
    grpc_url: str
    problems: tuple[Problem, ...]
    conditions: tuple[Condition, ...]
    places: tuple[PlaceState, ...]
    target: str
    """Such as `200ms at p99`; empty of a batch."""
    expected_p99: str
    observed_p50: str
    observed_p99: str
    requests_per_second: float
    failed_share: float
    demand: tuple[str, ...]
    """Such as `us-ca 60/s`; empty: what routers observe counts."""
    cost_per_hour: float
    watts: int
    grams_co2_per_hour: int
    gap: float | None
    """Largest possible distance of the whole plan's cost from the cheapest, as a ratio."""
    planned_at: datetime | None
    events: tuple[EventFace, ...]
    """The newest, oldest first."""
    not_shown: tuple[str, ...]


def explanation_of(survey: Survey, namespace: str, name: str) -> Explanation:
    """Put together what the cluster says of one workload.

    Raises:
        InvalidInput: there is none of that name; the message names the ones that are like it.
    """
    workload = _workload(survey, namespace, name)
    status, latency = workload.status, workload.spec.latency
    events = [e for e in survey.events if (e.kind, e.namespace, e.name) == (workload.kind, namespace, name)]
    return Explanation(
        at=survey.now,
        namespace=namespace,
        name=name,
        model=workload.spec.model.name,
        url=status.url,
        grpc_url=status.grpc_url,
        problems=tuple(_with_next(it, workload) for it in worst_first(workload_problems(survey, workload))),
        conditions=status.conditions,
        places=tuple(_places(survey, workload)),
        target=f"{latency.target} at p{latency.percentile}" if latency else "",
        expected_p99=status.expected.p99,
        observed_p50=status.observed.p50,
        observed_p99=status.observed.p99,
        requests_per_second=number(status.observed.rate),
        failed_share=number(status.observed.failed),
        demand=tuple(f"{row.region} {row.rate}/s" for row in workload.spec.demand or ()),
        cost_per_hour=number(status.expected.cost_per_hour),
        watts=status.expected.watts,
        grams_co2_per_hour=status.expected.grams_co2_per_hour,
        gap=number(status.plan.gap) if status.plan.gap else None,
        planned_at=moment(status.plan.solved_at),
        events=tuple(events[-NEWEST:]),
        not_shown=tuple(f"{row.part}: {row.why}" for row in survey.withheld),
    )


def _workload(survey: Survey, namespace: str, name: str) -> InferenceWorkload:
    found = next((it for it in survey.workloads if it.key == f"{namespace}/{name}"), None)
    if found is not None:
        return found
    for row in survey.withheld:
        if row.part == "inferenceworkloads":
            raise InvalidInput(row.why)
    broken = next((row for row in survey.unreadable if row.target.key == f"{namespace}/{name}"), None)
    if broken is not None:
        raise InvalidInput(f"{namespace}/{name} is left out of every plan: {broken.message}")
    named = [it.key for it in survey.workloads if it.metadata.name == name]
    near = f"; there is {listed(named)}" if named else "; kubectl get inferenceworkloads -A lists them"
    raise InvalidInput(f"there is no workload {name} in the namespace {namespace}{near}")


def _with_next(problem: Problem, workload: InferenceWorkload) -> Problem:
    """What to type after having read this."""
    where = f"-n {workload.metadata.namespace} {workload.metadata.name}"
    match problem.reason:
        case Reason.TRITON_UNAVAILABLE | Reason.NO_SERVERS | Reason.WAITING_FOR_SERVERS | Reason.MODEL_REJECTED:
            command = "kubectl get tritonpools -o wide"
        case Reason.NO_VEHICLES | Reason.NOT_ENOUGH_CAPACITY | Reason.NOT_ENOUGH_SPARE:
            command = "kubectl get vehiclenodepools,tritonpools -o wide"
        case Reason.WAITING_FOR_VEHICLES | Reason.LOADING | Reason.FETCHING | "Assigned" | "Silent" | "NoVehicle":
            label = f"parkade.dev/workload={workload.metadata.name}"
            command = f"kubectl get pods -n {workload.metadata.namespace} -l {label} -o wide"
        case _:
            command = f"kubectl edit inferenceworkload {where}"
    return replace(problem, next=command)


def _places(survey: Survey, workload: InferenceWorkload) -> Iterator[PlaceState]:
    """Those that may receive requests by preference, then cells that have an order and do not yet, or no longer."""
    cells = {cell.metadata.name: cell for cell in survey.cells}
    told = {
        name: next((row for row in cell.spec.assignments if row.workload == workload.key), None)
        for name, cell in cells.items()
    }
    for row in workload.status.placements:
        order = told.pop(row.place, None)
        ready, said = _in_cell(survey, row.place, workload.key)
        why = _why(row.reason, row.place)
        message = f"{why}; {said}" if why and said else why or said
        replicas = row.replicas if row.tier == "Datacenter" else ready
        ordered = order.replicas if order is not None else None
        yield PlaceState(row.place, row.tier, row.region, ordered, replicas, row.share, row.reason, message)
    for name, order in sorted(told.items()):
        if order is not None:
            ready, said = _in_cell(survey, name, workload.key)
            region = cells[name].spec.region
            yield PlaceState(name, "Vehicle", region, order.replicas, ready, order.share, "", said)


def _in_cell(survey: Survey, cell: str, workload: str) -> tuple[int, str]:
    """Replicas that a cell reports ready, and why there are not more."""
    rows = (
        row
        for entry in survey.cells
        if entry.metadata.name == cell
        for row in entry.status.assignments
        if row.workload == workload
    )
    row = next(rows, None)
    if row is None:
        return 0, ""
    return row.ready, (row.message or row.reason) if row.ready < row.desired else ""


def _why(word: str, place: str) -> str:
    """A Reason's sentence where it needs no more than the place; routers and plans know the rest."""
    reason = next((it for it in Reason if it.value == word), None)
    return reason.say(place=place) if reason is not None and set(reason.facts) <= {"place"} else ""


def render(found: Explanation, screen: Screen) -> str:
    """Problems, conditions, places, figures, events."""
    blocks: list[list[str]] = [_head(found, screen)]
    blocks += [list(problem_lines(screen, problem)) for problem in found.problems]
    blocks.append(list(_conditions(found, screen)))
    blocks.append(_place_table(found, screen))
    blocks.append(list(_figures(found, screen)))
    if found.events:
        lines = [line for event in found.events for line in event_lines(screen, event, found.at)]
        blocks.append([screen.paint("Lately", "bold"), *lines])
    blocks.append([line for row in found.not_shown for line in screen.wrapped(row, "  ", "Not shown: ")])
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _head(found: Explanation, screen: Screen) -> list[str]:
    ready = sum(place.ready for place in found.places)
    where = f"{count(ready, 'replica')} at {count(len(found.places), 'place')}" if found.places else "no replicas"
    call = f"http://{found.url}/v2/models/{found.model}/infer" if found.url else "no address yet"
    title = screen.paint(f"{found.namespace}/{found.name}", "bold")
    return [f"{title}: {where}", f"  {call}" + (f", gRPC {found.grpc_url}" if found.grpc_url else "")]


def _conditions(found: Explanation, screen: Screen) -> Iterator[str]:
    told = {problem.message for problem in found.problems}
    for entry in found.conditions:
        since = age(found.at, moment(entry.last_transition_time))
        head = f"{entry.type:<15}{entry.status:<8}"
        message = "as above" if printable(entry.message) in told else entry.message
        told.add(printable(entry.message))
        said = f"{entry.reason}{f', since {since}' if since else ''}: {message}"
        lines = screen.wrapped(said, " " * 23, head)
        status = screen.paint(entry.status, _TRUTH[entry.status])
        yield lines[0].replace(head, f"{entry.type:<15}{status}{' ' * (8 - len(entry.status))}", 1)
        yield from lines[1:]


def _place_table(found: Explanation, screen: Screen) -> list[str]:
    if not found.places:
        return []
    header = ["PLACE", "TIER", "REGION", "ORDERED", "READY", "SHARE", "WHY"]
    rows = [
        [it.place, it.tier, it.region, "-" if it.ordered is None else str(it.ordered), str(it.ready), f"{it.share} %",
         it.reason or "no requests yet"]
        for it in found.places
    ]  # fmt: skip
    said = [
        line for it in found.places if it.message for line in screen.wrapped(f"{it.place}: {it.message}", "    ", "  ")
    ]
    return [*table(screen, header, rows, right=(3, 4, 5)), *said]


def _figures(found: Explanation, screen: Screen) -> Iterator[str]:
    seen = f"{found.requests_per_second:,.3g} requests/s"
    if found.observed_p99:
        seen += f", p50 {found.observed_p50}, p99 {found.observed_p99}, {found.failed_share:.2%} failed"
    planned = f"planned {age(found.at, found.planned_at)} ago" if found.planned_at else "not planned yet"
    gap = f", at most {found.gap:.2%} from the cheapest plan" if found.gap is not None else ""
    for title, said in (
        ("Target", found.target or "none"),
        ("Expected", found.expected_p99 or "nothing"),
        ("Observed", seen),
        ("Demand", ", ".join(found.demand) or "as routers observe it"),
        ("Cost", f"{found.cost_per_hour:,.4f} $/h, {found.watts:,} W, {found.grams_co2_per_hour:,} g CO2/h (expected)"),
        ("Plan", planned + gap),
    ):
        yield from screen.wrapped(said, " " * 15, f"{title:<15}")
