"""Conditions: what is observed, with a Reason and a sentence; the time changes only when the status does."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Final, Literal

from parkade.api import Condition, Reason, unhonoured_fields
from parkade.api.base import Metadata, Resource

MOST_MISTAKES: Final = 4
"""That one sentence names; the others show when these are mended."""

Truth = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One condition before it is compared with what the object says already."""

    type: str
    status: Truth
    reason: str
    message: str


def find(kind: str, status: Truth, reason: Reason, **facts: object) -> Finding:
    """A finding whose sentence is the Reason's own.

    Raises:
        KeyError: the sentence needs a fact that is not given.
    """
    return Finding(kind, status, reason.value, reason.say(**facts))


def merged(
    findings: Iterable[Finding], before: tuple[Condition, ...], meta: Metadata, now: datetime
) -> tuple[Condition, ...]:
    """The conditions to show: `lastTransitionTime` stays unless the status changes."""
    earlier = {condition.type: condition for condition in before}
    shown = []
    for finding in findings:
        old = earlier.get(finding.type)
        kept = old is not None and old.status == finding.status and old.last_transition_time
        shown.append(
            Condition(
                type=finding.type,
                status=finding.status,
                reason=finding.reason,
                message=finding.message,
                last_transition_time=old.last_transition_time if kept and old else timestamp(now),
                observed_generation=meta.generation,
            )
        )
    return tuple(shown)


def fields_honoured(resource: Resource, mistakes: Iterable[Finding] = ()) -> Finding:
    """False while a field is set that is not acted on; `mistakes` are fields that cannot be acted on as written.

    Every cause is told; the reason is the first one's.
    """
    found = list(islice(mistakes, MOST_MISTAKES))
    fields = unhonoured_fields(resource)
    if fields:
        found.append(find("FieldsHonoured", "False", Reason.FIELDS_NOT_HONOURED, fields=", ".join(fields)))
    if not found:
        return find("FieldsHonoured", "True", Reason.ALL_FIELDS_HONOURED)
    return replace(found[0], message="; ".join(dict.fromkeys(finding.message for finding in found)))


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with whole seconds, as Kubernetes writes times."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
