"""What is wrong with Parkade's own parts: operator, carlets, routers, and what could not be read."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from parkade.cluster.surveying import LeaseFace, Survey
from parkade.kubectl.problems import WORDS, Level, Problem
from parkade.kubectl.words import age, listed, moment, printable

CYCLE_STALE: Final = timedelta(seconds=90)
"""A leader says at each renewal when its last cycle ended, and cycles run every 10 s unless set otherwise."""
LATELY: Final = timedelta(minutes=15)
"""A process whose Lease ran out within this time is told of; older Leases are left-overs."""


def part_problems(survey: Survey) -> Iterator[Problem]:
    """Operator, routers, carlets, and objects that cannot be read, worst first within each."""
    if not survey.lacks("leases"):
        yield from _operator(survey)
        yield from _routers(survey)
        yield from _carlets(survey)
    yield from _switched(survey)
    for row in survey.unreadable:
        kind, key = row.target.kind, row.target.key
        says = "is left out: it breaks a rule of its kind"
        show = f"kubectl get {kind.lower()} {_named(row.target.namespace, row.target.name)} -o yaml"
        yield Problem(Level.WARNING, WORDS[kind], key, says, "InvalidValues", printable(row.message), show)


def _named(namespace: str, name: str) -> str:
    return f"-n {namespace} {name}" if namespace else name


def pods_of(survey: Survey, component: str) -> str:
    """The command that shows a component's pods."""
    return f"kubectl -n {survey.system} get pods -l app.kubernetes.io/component={component}"


def logs_of(survey: Survey, component: str) -> str:
    """The command that shows what a component said lately."""
    return f"kubectl -n {survey.system} logs -l app.kubernetes.io/component={component} --since=15m --prefix"


def leader(survey: Survey) -> LeaseFace | None:
    """The operator's Lease while somebody holds it."""
    return next((lease for lease in survey.of("operator") if lease.alive(survey.now)), None)


def _operator(survey: Survey) -> Iterator[Problem]:
    leads = leader(survey)
    if leads is None:
        held = next(iter(survey.of("operator")), None)
        since = f"the last renewal was {age(survey.now, held.renewed)} ago" if held and held.renewed else "no Lease yet"
        message = f"nothing is planned, and nothing that fails is replaced ({since})"
        yield Problem(Level.CRITICAL, "operator", "", "has no leader", "NoLeader", message,
                      pods_of(survey, "parkade-operator"))  # fmt: skip
        return
    ended, trouble = moment(leads.says.get("last-cycle", "")), printable(leads.says.get("trouble", ""))
    begun = ended or leads.acquired
    if begun is not None and survey.now - begun > CYCLE_STALE:
        said = f"its last good cycle ended {age(survey.now, ended)} ago" if ended else "it finished no cycle yet"
        yield Problem(Level.CRITICAL, "operator", "", "leads, but does not get through a cycle", "CyclesStopped",
                      f"{said}: {trouble or 'no cause is told'}", logs_of(survey, "parkade-operator"))  # fmt: skip
    elif trouble and ended:
        yield Problem(Level.WARNING, "operator", "", "failed in its last cycle and tries again", "CyclesFailing",
                      trouble, logs_of(survey, "parkade-operator"))  # fmt: skip


def _routers(survey: Survey) -> Iterator[Problem]:
    routers = survey.of("router")
    if not any(lease.alive(survey.now) for lease in routers):
        last = max((lease.renewed for lease in routers if lease.renewed), default=None)
        since = f"the last was seen {age(survey.now, last)} ago" if last else "none has announced itself"
        level = Level.CRITICAL if survey.workloads else Level.NOTICE
        yield Problem(level, "router", "", "is not there", "NoRouter", f"no request can be answered: {since}",
                      pods_of(survey, "parkade-router"))  # fmt: skip
        return
    yield from _lost(survey, "router", "parkade-router", "requests go through the others")


def _carlets(survey: Survey) -> Iterator[Problem]:
    carlets = survey.of("carlet")
    alive = [lease for lease in carlets if lease.alive(survey.now)]
    if not alive:
        if survey.vehicle_pools:
            message = "no car is told anything: what runs goes on, what leaves is not replaced"
            yield Problem(Level.CRITICAL, "carlet", "", "is not there", "NoCarlet", message, pods_of(survey, "carlet"))
        return
    cut = [lease.name for lease in alive if lease.says.get("link") == "lost"]
    if cut:
        level = Level.CRITICAL if len(cut) == len(alive) else Level.WARNING
        message = "it does not reach nats-server, so it neither hears nor tells cars"
        yield Problem(
            level, "carlet", listed(cut), "lost the fleet link", "LinkLost", message, logs_of(survey, "carlet")
        )
    yield from _lost(survey, "carlet", "carlet", "the others have its cells")


def _lost(survey: Survey, component: str, label: str, consequence: str) -> Iterator[Problem]:
    """Processes that ended lately without handing their Lease back."""
    for lease in survey.of(component):
        if lease.renewed and not lease.alive(survey.now) and survey.now - lease.renewed < LATELY:
            message = f"it was seen {age(survey.now, lease.renewed)} ago; {consequence}"
            yield Problem(Level.WARNING, component, lease.name, "ended without a word", "LeaseExpired", message,
                          pods_of(survey, label))  # fmt: skip


def _switched(survey: Survey) -> Iterator[Problem]:
    switches = survey.switches
    if switches.paused:
        since = f" since {age(survey.now, switches.since)}" if switches.since else ""
        because = f" ({printable(switches.note)})" if switches.note else ""
        yield Problem(Level.WARNING, "operator", "", f"is paused{since}{because}", "Paused",
                      "nothing is planned or changed; everything that runs goes on, and what fails is not replaced",
                      "kubectl parkade resume")  # fmt: skip
    if switches.mode == "Observe":
        yield Problem(Level.NOTICE, "operator", "", "only observes", "Observing",
                      "it plans and shows, and changes nothing",
                      f"kubectl -n {survey.system} patch configmap parkade-settings --type=merge "
                      '-p \'{"data":{"mode":"Apply"}}\'')  # fmt: skip


def unseen(survey: Survey) -> tuple[str, ...]:
    """What the screen leaves out because it may not be read or is not installed."""
    return tuple(f"{row.part}: {row.why}" for row in survey.withheld)
