"""Says what pydantic found in the words of the API server, so that one refusal reads alike offline and in a cluster."""

import json
from collections.abc import Iterator
from typing import Final

from pydantic_core import ErrorDetails

INVALID: Final = "{where}: Invalid value: {given}: "
TEMPLATES: Final = {
    "rule": INVALID + "{sentence}",
    "duplicate": "{where}[{index}]: Duplicate value: {words}; keep one of them",
    "missing": "{where}: Required value: add it",
    "extra_forbidden": 'unknown field "{where}": remove it or correct its spelling',
    "literal_error": "{where}: Unsupported value: {given}: supported values: {expected}",
    "string_too_long": "{where}: Too long: may not be more than {max_length} characters",
    "string_too_short": INVALID + "should be at least {min_length} chars long",
    "too_long": "{where}: Too many: must have at most {max_length} {entries}",
    "too_short": INVALID + "should have at least {min_length} {entries}",
    "greater_than_equal": INVALID + "should be greater than or equal to {ge}",
    "less_than_equal": INVALID + "should be less than or equal to {le}",
    "string_type": INVALID + "must be of type string: put it in quotes, with its unit if it has one",
    "int_type": INVALID + "must be of type integer: write it without quotes and without a fraction",
    "int_from_float": INVALID + "must be of type integer: write it without quotes and without a fraction",
    "bool_type": INVALID + "must be of type boolean: write true or false without quotes",
    "tuple_type": INVALID + "must be of type array: put it in [ ]",
    "dict_type": INVALID + "must be of type object: write it as fields",
    "model_type": INVALID + "must be of type object: write it as fields",
}
"""By pydantic's own names of errors."""


def path(location: tuple[str | int, ...]) -> str:
    """Spell a location as the API server does: `spec.demand[0].rate`."""
    spelt = ""
    for step in location:
        spelt += f"[{step}]" if isinstance(step, int) else f".{step}" if spelt else step
    return spelt


def sentences(detail: ErrorDetails) -> Iterator[str]:
    """Say each broken rule of one validation error as `field: what is wrong and how to mend it`."""
    where, context = path(detail["loc"]), detail.get("ctx", {})
    if detail["type"] == "rules":
        for field, message in context["broken"]:
            yield f"{'.'.join(filter(None, (where, field))) or 'metadata'}: Invalid value: {message}"
        return
    given = json.dumps(detail["input"], default=str)[:80]
    entries = "properties" if context.get("field_type") == "Dictionary" else "items"
    template = TEMPLATES.get(detail["type"], INVALID + "{problem}")
    yield template.format(where=where, given=given, entries=entries, problem=detail["msg"], **context)
