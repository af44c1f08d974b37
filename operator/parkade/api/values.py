"""Text forms of quantities: kept as the user wrote them, read as SI numbers by a property.

A value is a `str`, so it is frozen, hashable and goes back into a manifest unchanged. Equality is that of the text.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Final, Generic, Self, TypeVar, get_args

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from parkade.api.rules import Rule, Rules, cel_matches
from parkade.units import DECIMAL_PATTERN, DURATION_PATTERN, QUANTITY_PATTERN, in_bytes, seconds

_DATE: Final = (
    r"([1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    r"|02-(0[1-9]|1[0-9]|2[0-8]))"
    r"|([1-9][0-9](0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26])00)-02-29)"
)
"""A day that the Gregorian calendar has; 29 February in leap years only."""
INSTANT_PATTERN: Final = (
    rf"^{_DATE}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{{1,6}})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
"""RFC 3339 with seconds and a zone; what matches, CEL's `timestamp()` and Python can read."""

NOT_ZERO: Final = r"[1-9]"
"""A number written without exponent is zero when no digit of it is above 0."""


def matching(pattern: str, message: str) -> Rule:
    """Make the rule that a text matches `pattern`."""
    compiled = re.compile(pattern, re.ASCII)
    # `$` of Python also matches before a final newline; that of CEL's RE2 does not
    return Rule(
        message,
        cel_matches("self", pattern),
        lambda text: compiled.search(text) is not None and not text.endswith("\n"),
    )


class Text(str):
    """A bounded text with rules of its own."""

    __slots__ = ()
    longest: ClassVar[int] = 253
    rules: ClassVar[Rules] = ()

    @classmethod
    def read(cls, text: str) -> Self:
        """Check the rules in order and keep the text.

        Raises:
            PydanticCustomError: a rule is broken; the message is its sentence.
        """
        for rule in cls.rules:
            if not rule.holds(text):
                raise PydanticCustomError("rule", "{sentence}", {"sentence": rule.message})
        return cls(text)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        """Validate as a bounded string, then by the rules."""
        del source, handler
        return core_schema.no_info_after_validator_function(
            cls.read,
            core_schema.str_schema(max_length=cls.longest),
            serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json"),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe as a bounded string with CEL; the sentence replaces `pattern`, whose refusal is a regex."""
        del schema, handler
        rules = [{"rule": rule.cel, "message": rule.message} for rule in cls.rules]
        return {"type": "string", "maxLength": cls.longest, "x-kubernetes-validations": rules}


class Name(Text):
    """The name of a region, pool, cell, fleet or piece of hardware."""

    __slots__ = ()
    longest = 63
    rules: ClassVar[Rules] = (
        matching(
            r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
            "must be a name of lower-case letters, digits, '-' and '.', such as us-ca",
        ),
    )


class NameOrAny(Text):
    """The name of a piece of hardware, or `*` for any."""

    __slots__ = ()
    longest = 63
    rules: ClassVar[Rules] = (
        matching(
            r"^([*]|[a-z0-9]([-a-z0-9.]*[a-z0-9])?)$",
            "must be a hardware name such as hw4, or '*' for any hardware",
        ),
    )


class Jurisdiction(Text):
    """A legal area: an ISO 3166 country code, or a union of them such as EU."""

    __slots__ = ()
    longest = 2
    rules: ClassVar[Rules] = (matching(r"^[A-Z]{2}$", "must be two capital letters such as US, DE or EU"),)


class Duration(Text):
    """A Go duration such as `150ms` or `1h30m`."""

    __slots__ = ()
    longest = 32
    rules: ClassVar[Rules] = (
        matching(DURATION_PATTERN, "must be a duration with its unit such as 150ms, 30s or 1h30m"),
    )

    @property
    def seconds(self) -> float:
        """Seconds."""
        return seconds(self)


class PositiveDuration(Duration):
    """A duration that is longer than nothing."""

    __slots__ = ()
    rules: ClassVar[Rules] = (
        *Duration.rules,
        matching(NOT_ZERO, "must be longer than nothing; write for example 12ms"),
    )


class Quantity(Text):
    """A Kubernetes quantity of bytes such as `900Mi`."""

    __slots__ = ()
    longest = 24
    rules: ClassVar[Rules] = (matching(QUANTITY_PATTERN, "must be a quantity of bytes such as 180Ki, 900Mi or 8Gi"),)

    @property
    def bytes(self) -> int:
        """Bytes, rounded up."""
        return in_bytes(self)


class PositiveQuantity(Quantity):
    """A quantity of bytes above zero."""

    __slots__ = ()
    rules: ClassVar[Rules] = (*Quantity.rules, matching(NOT_ZERO, "must be more than nothing; write for example 900Mi"))


class Number(Text):
    """A decimal string, because floats are not portable between API clients; may be negative."""

    __slots__ = ()
    longest = 20
    rules: ClassVar[Rules] = (matching(DECIMAL_PATTERN, 'must be a decimal number in quotes such as "0.11"'),)

    @property
    def value(self) -> float:
        """The number: dollars, requests per second, joules or a ratio, as the field's name says."""
        return float(self)

    @property
    def exact(self) -> Decimal:
        """The number without rounding."""
        return Decimal(str(self))


class Amount(Number):
    """A decimal string that is not negative."""

    __slots__ = ()
    rules: ClassVar[Rules] = (*Number.rules, matching(r"^[^-]", 'must not be negative; write for example "0.04"'))


class PositiveAmount(Amount):
    """A decimal string above zero."""

    __slots__ = ()
    rules: ClassVar[Rules] = (*Amount.rules, matching(NOT_ZERO, 'must be above zero; write for example "0.5"'))


class Instant(Text):
    """An RFC 3339 time with its zone such as `2026-08-18T16:00:00-07:00`."""

    __slots__ = ()
    longest = 40
    rules: ClassVar[Rules] = (
        matching(
            INSTANT_PATTERN,
            "must be a time with seconds and a zone, on a day that exists, such as 2026-08-18T16:00:00-07:00",
        ),
    )

    @property
    def time(self) -> datetime:
        """Aware, in the zone that was written."""
        return datetime.fromisoformat(self)


class Sha256(Text):
    """A sha256 in hex."""

    __slots__ = ()
    longest = 64
    rules: ClassVar[Rules] = (
        matching(r"^[0-9a-f]{64}$", "must be the 64 lower-case hex digits that sha256sum prints"),
    )


class Url(Text):
    """A URL with its scheme."""

    __slots__ = ()
    longest = 1024
    rules: ClassVar[Rules] = (
        matching(
            r"^[a-z][a-z0-9+.-]*://[^\s]+$",
            "must be a URL with its scheme, such as https://models.example/m.onnx, s3://bucket/key or file:///path",
        ),
    )


class HostPort(Text):
    """A host and a port, without scheme, as tritonclient wants it."""

    __slots__ = ()
    longest = 261
    rules: ClassVar[Rules] = (
        matching(
            r"^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}$",
            "must be host:port without a scheme, such as triton-0.example:8000",
        ),
    )


V = TypeVar("V")


class FrozenMap(Mapping[str, V], Generic[V]):
    """A mapping that cannot change, and so can be hashed and compared; keys keep their order."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Mapping[str, V] | None = None) -> None:
        self._entries = dict(entries or {})

    def __getitem__(self, key: str) -> V:
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __hash__(self) -> int:
        return hash(frozenset(self._entries.items()))

    def __repr__(self) -> str:
        return f"FrozenMap({self._entries!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        """Validate as a dict of the value type."""
        arguments = get_args(source)
        value = arguments[0] if arguments else Any
        return core_schema.no_info_after_validator_function(
            cls,
            handler.generate_schema(dict[str, value]),  # type: ignore[valid-type]  # a type known only at run time
            serialization=core_schema.plain_serializer_function_ser_schema(dict),
        )
