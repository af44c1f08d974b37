"""`make demo`: Parkade does its whole job once on this machine, and prints what happened.

Two regions, two pools of four parked cars, one pool of two Triton servers and three real models. It applies manifests
with kubectl, asks real questions with the public tritonclient, and changes one price, so that one workload moves. Then
one car is unplugged, one loses its link, one drives off without a word, and one lies. It ends with tables.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from demo import report
from demo.client import Caller, Outcome, Traffic
from demo.happenings import Happenings, play
from demo.inputs import SIGNS, Sample, read_line, samples
from demo.models import MODELS, fetch
from parkade.errors import ParkadeError
from parkade.local import binaries
from parkade.local.paths import state_directory
from world import World, cars

MANIFESTS: Final = Path(__file__).with_name("manifests")
CARS: Final = (
    *cars("ca-home", 4, fleet="owners-ca", hardware="hw4", link="WiFi"),
    *cars("tx-starlink", 4, fleet="owners-tx", hardware="hw4", link="Starlink"),
)
WORKLOADS: Final = {"vision/sign-detector": 6.0, "vision/sign-reader": 4.0, "speech/voice-activity": 30.0}
"""Requests a second sent to each; about what 2 shared cores answer beside everything else."""
MOVED: Final = "vision/sign-detector"
NEW_PRICE: Final = '{"spec": {"opportunityCost": {"perServerHour": "2.50"}}}'
"""What one act of the demo changes: a GPU server is now worth 2.50 $/h to others, say to training."""


class Show:
    """Prints what happens with the seconds since the start."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._started

    def __call__(self, line: str) -> None:
        """One line of progress."""
        print(f"[{self.elapsed:6.1f} s] {line}", flush=True)

    def block(self, title: str, text: str) -> None:
        """A titled block, indented."""
        self(title)
        print("\n".join(f"           {line}" for line in text.splitlines()), flush=True)


def main() -> None:
    """Run the demo; exit code 1 when any request failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="leave everything running, and say what to try")
    parser.add_argument("--dir", type=Path, default=state_directory() / "demo", help="state of the demo's plane")
    arguments = parser.parse_args()
    show = Show()
    World(arguments.dir, show).stop(purge=True)
    world = World(arguments.dir, show)
    try:
        failed = demonstrate(world, show)
        if arguments.keep:
            print(what_to_try(world))
    except (ParkadeError, RuntimeError, TimeoutError) as error:
        sys.exit(f"demo: {error}\nLogs are in {world.plane.directory / 'logs'}")
    finally:
        if not arguments.keep:
            world.stop(purge=sys.exception() is None)
    sys.exit(1 if failed else 0)


def demonstrate(world: World, show: Show) -> bool:
    """Run the acts in order; return whether any request failed."""
    models = fetch(show)
    show("starting etcd, kube-apiserver, controller manager, NATS, 2 Triton servers and Parkade")
    world.start()
    show(f"starting {len(CARS)} cars: 4 at home in California on WiFi, 4 in Texas on Starlink, all charging")
    for car in CARS:
        world.start_car(car)
    manifests = world.render(MANIFESTS, placeholders(world, models))
    show(f"$ kubectl apply -f {manifests}")
    world.apply(manifests)
    questions = samples(models, show)
    world.await_ready(WORKLOADS)
    show("every workload is Placed and Ready")
    first = ask(world, questions, per_workload=1, seconds=10.0)
    show(
        f"first {len(first.answers)} requests answered, {len(first.failures)} failed: {show.elapsed:.0f} s after typing"
    )
    show(f"the signs read through the router: {', '.join(signs_read(world, questions, models))}")
    show.block("where each workload runs", report.placements(world.workloads(WORKLOADS)))
    show.block("and why", report.reasons(world.workloads(WORKLOADS)))
    moved = change_one_price(world, questions, show)
    happened = play(world, questions, WORKLOADS, show)
    return conclude(world, (first, moved), happened, show)


def placeholders(world: World, models: Mapping[str, Path]) -> dict[str, str]:
    """What the demo's manifests leave open: where the models and the Triton servers are."""
    values = world.triton_values()
    for model in MODELS:
        prefix = model.name.replace("-", "_").upper()
        values[f"{prefix}_URL"] = models[model.name].as_uri()
        values[f"{prefix}_SHA256"] = model.sha256
    return values


def ask(world: World, questions: dict[str, tuple[Sample, ...]], *, per_workload: int, seconds: float) -> Outcome:
    """A few requests to every workload over HTTP and gRPC."""
    return Traffic(
        world.loads(questions, dict.fromkeys(WORKLOADS, per_workload * 10.0), per_workload), seconds=seconds
    ).finish()


def signs_read(world: World, questions: dict[str, tuple[Sample, ...]], models: Mapping[str, Path]) -> list[str]:
    """What the reader makes of the pictures of signs, asked over gRPC."""
    name = "sign-reader"
    (load,) = world.loads(questions, {f"vision/{name}": 1.0})
    with Caller(load.grpc, "grpc", load.timeout) as caller:
        return [
            read_line(models[name], caller.tensors(load.model, sample)) for sample in questions[name][-len(SIGNS) :]
        ]


def change_one_price(world: World, questions: dict[str, tuple[Sample, ...]], show: Show) -> Outcome:
    """Change one price and watch replicas of a workload move, its requests answered all along.

    One may stay on its server: beside cars that can leave, it is cheaper than a spare car.
    """
    before = {place["place"]: place["replicas"] for place in world.placements(MOVED)}
    show(f"$ kubectl patch tp austin-a100 --type=merge -p '{NEW_PRICE}'")
    rates = {MOVED: WORKLOADS[MOVED]}
    with Traffic(world.loads(questions, rates, per_workload=2000), seconds=60.0) as traffic:
        world.plane.kubectl("patch", "tp", "austin-a100", "--type=merge", "-p", NEW_PRICE)

        def moved() -> bool:
            now = {place["place"] for place in world.placements(MOVED)}
            return bool(now) and now != before.keys()

        took = world.await_that(f"{MOVED} moves away from {', '.join(sorted(before))}", moved, seconds=45.0)
        show(f"{MOVED} answers from {', '.join(sorted(world.places(MOVED)))} after {took:.1f} s; the old place drains")

        def drained() -> bool:
            now = {place["place"]: place["replicas"] for place in world.placements(MOVED)}
            return all(now.get(place, 0) < replicas for place, replicas in before.items())

        world.await_that("the old place is drained", drained, seconds=45.0)
        traffic.stop()
        outcome = traffic.finish()
    show.block("moved", report.reasons(world.workloads([MOVED])))
    show(report.totals(world.workloads(WORKLOADS)))
    return outcome


def conclude(world: World, outcomes: Sequence[Outcome], happened: Happenings, show: Show) -> bool:
    """Print the closing tables; return whether any request failed."""
    asked = sum(len(outcome.answers) for outcome in (*outcomes, happened.outcome))
    failures = [*happened.failures, *(failure for outcome in outcomes for failure in outcome.failures)]
    logged = report.read_access_log(world.access_log)
    show.block("what the router answered", report.latencies(logged))
    show.block("where each workload runs now", report.placements(world.workloads(WORKLOADS)))
    show(report.reactions(world.plane.processes.log("operator")))
    show.block("what happened to cars, and how Parkade told it apart", happened.text())
    show(f"{asked} requests, {len(failures)} failed; every answer was compared with that of the model run directly:")
    late = sum(answer.wrong for answer in happened.outcome.answers) - len(happened.lies)
    show(f"wrong answers of the lying car that callers heard: {len(happened.lies)} until it was found, {late} after")
    if failures:
        print(report.failures(failures))
        print(report.unanswered(world.access_log))
    return bool(failures)


def what_to_try(world: World) -> str:
    """Lines for a person who keeps the demo running."""
    parkade = Path(sys.executable).with_name("parkade")
    path = "" if shutil.which("kubectl") else f"\n  export PATH={binaries.upstream('kubectl', print).parent}:$PATH"
    pod = next((pod.removeprefix("pod/") for pod in world.faces("pods") if "voice-activity" in pod), "")
    return f"""
Still running. Try:
  export KUBECONFIG={world.plane.kubeconfig}{path}
  kubectl get iw,vnp,vc,tp,rg,ge -A
  kubectl get nodes,pods -A -o wide
  kubectl describe iw -n vision sign-reader
  kubectl logs -n speech {pod}
  kubectl get events -n speech --field-selector reason=AnswersDisagree
  kubectl explain iw.spec.placement
  kubectl scale iw/sign-reader -n vision --replicas=3
  {parkade} vehicle status --state-dir {world.state_directory("ca-home-1")}
Stop it with:
  {parkade} down --purge --dir {world.plane.directory}
"""


if __name__ == "__main__":
    main()
