"""What happens to cars under traffic: an unplug, a lost link, a departure without a word, a lie; and how each is told.

From outside the second and the third begin alike: nothing comes from the car any more. Only what its charger sees
differs.
"""

import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from demo.charger import Charger
from demo.client import Answer, Outcome, Traffic
from demo.inputs import Sample
from demo.report import table
from world import World

READER: Final = "vision/sign-reader"
VOICE: Final = "speech/voice-activity"
TRAFFIC_SECONDS: Final = 300.0
"""At most; the traffic ends with the last happening, after about 30 s on a machine that has nothing else to do."""
SPOT_CHECKS: Final = '{"spec": {"trust": {"verifyPercent": 25}}}'
"""A real fleet needs fewer; here a lie shall be found among the few requests that two cores answer."""
DISAGREE: Final = "AnswersDisagree"
PATIENCE: Final = 60.0
"""Seconds to wait for anything, on a machine that has much else to do."""

Show = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Told:
    """One happening, and what Parkade said of it."""

    happened: str
    where: str
    """The object that says it."""
    said: str
    """Its own words."""
    seconds: float
    """From the happening to these words."""
    replica: str
    """What became of the car's replica."""
    window: tuple[float, float]
    """When it began and was over, as `time.monotonic()`."""


@dataclass(frozen=True, slots=True)
class Happenings:
    """All that happened, and the fate of every request meanwhile."""

    told: tuple[Told, ...]
    outcome: Outcome
    lies: tuple[Answer, ...]
    """Wrong answers that callers heard before the lying car was found."""

    @property
    def failures(self) -> tuple[str, ...]:
        """A sentence for each request that failed; what the lying car said until it was found is counted apart."""
        return tuple(answer.failure for answer in self._failed())

    def text(self) -> str:
        """A row for each happening."""
        rows: list[Sequence[object]] = [
            ("WHAT HAPPENED", "WHO SAYS SO", "WHAT IT SAYS", "AFTER", "ITS REPLICA", "REQUESTS FAILED")
        ]
        failed = self._failed()
        for told in self.told:
            asked, missed = (_within(answers, told.window) for answers in (self.outcome.answers, failed))
            rows.append(
                (told.happened, told.where, told.said, f"{told.seconds:.1f} s", told.replica, f"{missed} of {asked}")
            )
        return table(rows)

    def _failed(self) -> list[Answer]:
        return [answer for answer in self.outcome.answers if answer.failure and answer not in self.lies]


def play(world: World, questions: Mapping[str, Sequence[Sample]], rates: Mapping[str, float], show: Show) -> Happenings:
    """Let everything happen in turn while requests come without pause.

    Raises:
        TimeoutError: Parkade did not say what it should.
        RuntimeError: it said or did something else.
    """
    show(f"sending {sum(rates.values()):.0f} requests a second with tritonclient, every other caller over gRPC")
    with Traffic(world.loads(questions, rates, seconds=TRAFFIC_SECONDS), seconds=TRAFFIC_SECONDS) as traffic:
        unplugged = unplug(world, show)
        lost, left = fall_silent(world, show)
        lied, lies = lie(world, traffic, show)
        traffic.stop()
        return Happenings((unplugged, lost, left, lied), traffic.finish(), tuple(lies))


def unplug(world: World, show: Show) -> Told:
    """A car that serves announces that it leaves; then it is plugged in again."""
    before = _places(world, READER)
    car = before[0]
    cell = world.told(car)["cell"]
    show(f"1. an unplug: the owner of {car}, which serves {READER}, pulls the cable")
    world.vehicle(car, "unplug")
    began = time.monotonic()
    with ThreadPoolExecutor(1) as beside:
        replacing = beside.submit(_replaced, world, READER, before, began, show)
        said, seconds = _says(world, cell, "1 gone (1 announced it)", began)
        show(f"   {cell} says so after {seconds:.1f} s: {said}")
        replaced = replacing.result()
    world.vehicle(car, "plug")
    _everybody_here(world, cell)
    show("   plugged in again, and here again")
    return Told("an unplug", f"vc/{cell}", _about(said, "gone"), seconds, replaced, (began, time.monotonic()))


def fall_silent(world: World, show: Show) -> tuple[Told, Told]:
    """From two cars nothing comes any more: one stands at its charger, the other drives off without a word."""
    readers = _places(world, READER)
    lost = _places(world, VOICE)[0]
    where = world.told(lost)["cell"]
    left = next(car for car in readers if car in world.cars and world.told(car)["cell"] != where)
    elsewhere = world.told(left)["cell"]
    at_lost, at_left = (Charger(world.plane, world.cars[car].fleet, car) for car in (lost, left))
    for charger in (at_lost, at_left):
        charger.plugged_in()
    loads = _loads(world, VOICE, where)
    show(f"2. a lost link: nothing comes from {lost} any more, its session at the charger goes on")
    show(f"3. a departure without a word: nothing comes from {left} any more, its session at the charger ends")
    for car in (lost, left):
        world.plane.processes.freeze(car)
    began = time.monotonic()
    at_left.cable_drawn()
    at_lost.meter_read()
    with ThreadPoolExecutor(1) as beside:
        replacing = beside.submit(_replaced, world, READER, readers, began, show)
        gone, gone_seconds = _says(world, elsewhere, "1 gone (1 unplugged at their chargers)", began)
        show(f"   {elsewhere} says so after {gone_seconds:.1f} s: {gone}")
        replaced = replacing.result()
    silent, silent_seconds = _says(world, where, "1 silent (1 seen by their chargers)", began, never="1 gone")
    show(f"   {where} says so after {silent_seconds:.1f} s: {silent}")
    for car in (lost, left):
        world.plane.processes.thaw(car)
    at_left.plugged_in()
    back = time.monotonic()
    for cell in (where, elsewhere):
        _everybody_here(world, cell)
    show(f"   both are heard again, and here again after {time.monotonic() - back:.1f} s")
    if not world.serves(lost, VOICE) or _loads(world, VOICE, where) != loads:
        raise RuntimeError(f"{lost} came back and did not just go on with {VOICE}")
    show(f"   {lost} goes on with {VOICE}: nobody took its replica, and the model was not loaded again")
    window, kept = (began, time.monotonic()), "kept, not loaded again"
    return (
        Told("a lost link", f"vc/{where}", _about(silent, "silent"), silent_seconds, kept, window),
        Told("a departure without a word", f"vc/{elsewhere}", _about(gone, "gone"), gone_seconds, replaced, window),
    )


def lie(world: World, traffic: Traffic, show: Show) -> tuple[Told, list[Answer]]:
    """A car's agent is tampered with, and answers what its model does not."""
    namespace, name = VOICE.split("/")
    show(f"4. a lying car: first, let Triton compute every fourth answer of cars for {VOICE} again")
    show(f"   $ kubectl patch iw {name} -n {namespace} --type=merge -p '{SPOT_CHECKS}'")
    world.plane.kubectl("patch", "iw", name, "-n", namespace, "--type=merge", "-p", SPOT_CHECKS)
    world.await_that(f"Triton holds {VOICE} too, to compare with", lambda: _compared(world), PATIENCE)
    before = _places(world, VOICE)
    liar = before[0]
    show(f"   somebody tampers with {liar}, which serves {VOICE}: from now on its answers are wrong")
    began = time.monotonic()
    world.tamper(liar)
    world.await_that("the lying car answers", lambda: bool(traffic.lies(name, began)), PATIENCE)
    world.await_that("the workload says so", lambda: bool(world.warnings(VOICE, DISAGREE)), PATIENCE)
    said = time.monotonic()
    lies = [answer for answer in traffic.lies(name, began) if answer.sent < said]
    first, last = lies[0].sent, lies[-1]
    took = last.sent + last.milliseconds / 1e3 - first
    show(f"   wrong answers that callers heard: {len(lies)} in {took:.1f} s; then the router took no more of that car")
    message = world.warnings(VOICE, DISAGREE)[0]
    show(f"   the workload says so after {said - first:.1f} s: {DISAGREE}: {message}")
    replaced = _replaced(world, VOICE, before, first, show)
    world.await_that("its owner can read it", lambda: _not_believed(world, liar), PATIENCE)
    show(f"   its owner reads by `parkade vehicle status`, though its work is gone: {_not_believed(world, liar)}")
    finding = re.search(r"\(.*?\)", message)
    said_in_short = f"{DISAGREE} {finding[0] if finding else message}"
    window = (began, time.monotonic())
    return Told("a lying car", f"an event of {name}", said_in_short, said - first, replaced, window), lies


def _not_believed(world: World, car: str) -> str:
    """What the status of a car says of its answers; empty if nothing."""
    lines = world.vehicle(car, "status").splitlines()
    return next((line for line in lines if line.startswith("NOT BELIEVED")), "")


def _says(world: World, cell: str, words: str, began: float, never: str = "\n") -> tuple[str, float]:
    """Wait until a cell's VehiclesPresent has these words; return its sentence, and seconds since the happening."""
    sentence = ""

    def does() -> bool:
        nonlocal sentence
        sentence = world.presence(cell)
        if never in sentence:
            raise RuntimeError(f"{cell} says {sentence!r}, and should not say {never!r}")
        return words in sentence

    world.await_that(f"{cell} says {words!r}, not only {world.presence(cell)!r}", does, PATIENCE)
    return sentence, time.monotonic() - began


def _replaced(world: World, workload: str, before: Collection[str], began: float, show: Show) -> str:
    """Wait until a car or a Triton pool answers for the workload that did not before."""
    found: list[str] = []

    def new() -> bool:
        nonlocal found
        found = [car for car in world.holders(workload) if car not in before and world.serves(car, workload)]
        found += [pool for pool in _servers(world, workload) if pool not in before]
        return bool(found)

    world.await_that(f"another place serves {workload}", new, PATIENCE)
    seconds = time.monotonic() - began
    show(f"   {found[0]} serves {workload} in its stead after {seconds:.1f} s")
    return f"replaced after {seconds:.1f} s"


def _places(world: World, workload: str) -> list[str]:
    """Cars and Triton pools that answer for a workload, once nothing is on its way."""

    def settled() -> bool:
        cars = sum(place["replicas"] for place in world.placements(workload) if place["tier"] == "Vehicle")
        holders = world.holders(workload)
        return len(holders) == cars and all(world.serves(car, workload) for car in holders)

    world.await_that(f"{workload} is where the plan wants it", settled, PATIENCE)
    return world.holders(workload) + _servers(world, workload)


def _servers(world: World, workload: str) -> list[str]:
    """Triton pools that the routers may ask for a workload."""
    return [
        place["place"]
        for place in world.placements(workload)
        if place["tier"] == "Datacenter" and any(endpoint["replicas"] for endpoint in place["endpoints"])
    ]


def _everybody_here(world: World, cell: str) -> None:
    """Wait until all cars of a cell are here."""
    fleet = {car for car in world.cars if world.told(car)["cell"] == cell}
    words = f"{len(fleet)} of {len(fleet)} vehicles here"
    world.await_that(f"{cell} says {words!r}", lambda: words in world.presence(cell), PATIENCE)


def _compared(world: World) -> bool:
    """Tell whether Triton answers for the voice workload too."""
    held = any("voice-activity" in models for models in world.models_on_triton().values())
    return held and bool(_servers(world, VOICE))


def _loads(world: World, workload: str, cell: str) -> int:
    """How often cars of a cell have loaded a workload's model, by `kubectl logs` of its pod."""
    namespace, name = workload.split("/")
    return world.plane.kubectl("logs", "-n", namespace, f"{name}-{cell}").count(": Loading ")


def _about(sentence: str, presence: str) -> str:
    """The part of a cell's sentence about one presence: `1 gone (1 announced it)`."""
    found = re.search(rf"\d+ {presence} \([^)]*\)", sentence)
    return found[0] if found else sentence


def _within(answers: Sequence[Answer], window: tuple[float, float]) -> int:
    return sum(window[0] <= answer.sent <= window[1] for answer in answers)
