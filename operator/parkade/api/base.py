"""What every custom resource is made of: frozen parts, bounded lists, metadata, conditions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from parkade.api.rules import Rule, Transition, cel_exactly_one
from parkade.api.values import Amount, FrozenMap, Name, Number, Url

GROUP: Final = "parkade.dev"
VERSION: Final = "v1alpha1"

Tier = Literal["Vehicle", "Datacenter"]
Link = Literal["Ethernet", "WiFi", "Starlink", "Cellular"]
VehicleState = Literal["Asleep", "Awake", "Charging"]
Lever = Literal["Compute", "Charging", "Battery"]

Percent = Annotated[int, Field(ge=0, le=100)]
Watts = Annotated[int, Field(ge=0, le=1_000_000)]
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
Line = Annotated[str, Field(max_length=256)]
"""A word or a short line in a status."""
Message = Annotated[str, Field(max_length=32768)]
"""A sentence for people; the bound is that of Kubernetes' own conditions."""

_ACRONYMS: Final = {"kwh": "KWh", "kw": "KW", "gb": "GB", "co2": "CO2"}


def manifest_name(field: str) -> str:
    """Spell a field as manifests do: `per_kwh` is `perKWh`."""
    first, *rest = field.split("_")
    return first + "".join(_ACRONYMS.get(word, word.capitalize()) for word in rest)


@dataclass(frozen=True, slots=True)
class Listed:
    """Bounds of a list and how the API server merges it: a set of words, or a map by the fields `keys`."""

    most: int
    least: int = 0
    keys: tuple[str, ...] = ()
    unique: bool = False

    def check(self, entries: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the entries if there are enough of them and no two have one key."""
        if len(entries) < self.least:
            raise PydanticCustomError("too_short", "too few entries", {"min_length": self.least})
        if not (self.keys or self.unique):
            return entries
        seen: set[Any] = set()
        for index, entry in enumerate(entries):
            key = tuple(getattr(entry, k) for k in self.keys) if self.keys else entry
            if key in seen:
                words = ", ".join(map(str, key)) if self.keys else str(key)
                raise PydanticCustomError("duplicate", "{words}", {"words": words, "index": index})
            seen.add(key)
        return entries

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        """Check the bounds, then the keys."""
        inner: Any = handler(source)
        inner |= {"max_length": self.most}  # a least bound there would also blame a list whose entries are wrong
        return core_schema.no_info_after_validator_function(self.check, inner)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe how entries merge under server-side apply."""
        described = handler(schema)
        kind = "map" if self.keys else "set" if self.unique else "atomic"
        described["x-kubernetes-list-type"] = kind
        described["minItems"] = self.least
        if self.keys:
            described["x-kubernetes-list-map-keys"] = [manifest_name(key) for key in self.keys]
        return described


@dataclass(frozen=True, slots=True)
class Entries:
    """Bounds of a map."""

    most: int
    least: int = 0

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        """Bound the dict from which the frozen map is made."""
        inner: Any = handler(source)
        inner["schema"] |= {"min_length": self.least, "max_length": self.most}
        return cast("CoreSchema", inner)


class Part(BaseModel):
    """A piece of a spec: frozen, spelt in camelCase, and without fields that we do not know."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=manifest_name,
        validate_by_name=True,
        validate_by_alias=True,
        use_attribute_docstrings=True,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()
    transitions: ClassVar[tuple[Transition, ...]] = ()

    @model_validator(mode="after")
    def _rules_hold(self) -> "Part":
        broken = [[rule.field, rule.message] for rule in self.rules if not rule.holds(self)]
        if broken:
            sentence = "; ".join(message for _, message in broken)
            raise PydanticCustomError("rules", "{sentence}", {"sentence": sentence, "broken": broken})
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the rules as CEL."""
        described = handler(schema)
        rules: Sequence[Rule | Transition] = (*cls.rules, *cls.transitions)
        if rules:
            handler.resolve_ref_schema(described)["x-kubernetes-validations"] = [
                {"rule": rule.cel, "message": rule.message} | ({"fieldPath": f".{rule.field}"} if rule.field else {})
                for rule in rules
            ]
        return described


class StatusPart(Part):
    """A piece of a status: every field may be missing, and fields of another release are ignored."""

    model_config = ConfigDict(extra="ignore")


class Metadata(StatusPart):
    """The part of `ObjectMeta` that Parkade reads; the rest is ignored."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    namespace: Line = ""
    generation: int = 0
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    finalizers: tuple[str, ...] = ()
    labels: FrozenMap[str] = FrozenMap()
    annotations: FrozenMap[str] = FrozenMap()


class Condition(StatusPart):
    """One observation about the object, as in every Kubernetes API."""

    type: Line
    """What is observed, such as Placed or Ready."""
    status: Literal["True", "False", "Unknown"] = "Unknown"
    """Whether it is so."""
    reason: Line = ""
    """One word for programs; `docs/reference/reasons.md` lists them."""
    message: Message = ""
    """One sentence for people, with the remedy where something is wrong."""
    last_transition_time: Line = ""
    """When the status last changed."""
    observed_generation: Count = 0
    """The generation of the object that was looked at."""


Conditions = Annotated[tuple[Condition, ...], Listed(most=16, keys=("type",))]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`."""

    title: str
    path: str
    type: Literal["string", "integer", "boolean", "date"] = "string"
    wide: bool = False
    """Shown by `-o wide` only."""


@dataclass(frozen=True, slots=True)
class Definition:
    """How a kind appears in the API."""

    plural: str
    short: str
    columns: tuple[Column, ...]
    namespaced: bool = False
    scale: tuple[str, str, str] | None = None
    """Paths of wanted replicas, ready replicas and the label selector, for `kubectl scale`."""


AGE: Final = Column("Age", ".metadata.creationTimestamp", "date")


def condition_column(condition: str, *, wide: bool = False) -> Column:
    """Show a condition's status under its own name."""
    return Column(condition, f'.status.conditions[?(@.type=="{condition}")].status', wide=wide)


class Resource(Part):
    """A whole object: metadata, spec, status."""

    definition: ClassVar[Definition]

    api_version: Literal["parkade.dev/v1alpha1"] = "parkade.dev/v1alpha1"
    metadata: Metadata

    @property
    def key(self) -> str:
        """`namespace/name`, or `name` of a cluster-scoped kind."""
        return f"{self.metadata.namespace}/{self.metadata.name}" if self.metadata.namespace else self.metadata.name

    def manifest(self) -> dict[str, Any]:
        """Render for the API server: the spec's defaults written out, fields that are not set left out."""
        whole: dict[str, Any] = _without_empty(self.model_dump(mode="json", by_alias=True, exclude_none=True))
        known = self.model_dump(mode="json", by_alias=True, exclude_defaults=True, include={"metadata", "status"})
        del whole["status"]
        return whole | known


def _without_empty(value: Any) -> Any:  # noqa: ANN401 -- any JSON
    """Leave out empty texts: in a manifest, a text that says nothing is not there."""
    if isinstance(value, dict):
        return {key: _without_empty(item) for key, item in value.items() if item != ""}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value


class SecretRef(Part):
    """A Secret by name; for cluster-scoped kinds it lives in the operator's namespace."""

    name: Name
    """Name of the Secret."""


class Series(Part):
    """Hourly values in a CSV file that a ConfigMap of the operator's namespace holds."""

    config_map: Name
    """Name of the ConfigMap."""
    key: Annotated[str, Field(min_length=1, max_length=253)]
    """Key in the ConfigMap, such as price.csv."""


class EnergyPrice(Part):
    """What a kilowatt-hour costs: one number, or a series."""

    per_kwh: Number | None = None
    """$ per kWh; may be negative, because real prices are."""
    series: Series | None = None
    """$ per kWh by hour."""

    rules = (
        Rule(
            "set exactly one of perKWh and series; remove the other",
            cel_exactly_one("perKWh", "series"),
            lambda it: (it.per_kwh is None) != (it.series is None),
        ),
    )


class LinkPrice(Part):
    """What a byte costs on one kind of link."""

    name: Link
    """Kind of link."""
    per_gb: Amount = Amount("0")
    """$ per decimal gigabyte, both directions."""


__all__ = [
    "AGE",
    "GROUP",
    "VERSION",
    "Column",
    "Condition",
    "Conditions",
    "Count",
    "Definition",
    "EnergyPrice",
    "Entries",
    "Lever",
    "Line",
    "Link",
    "LinkPrice",
    "Listed",
    "Message",
    "Metadata",
    "Part",
    "Percent",
    "Resource",
    "SecretRef",
    "Series",
    "StatusPart",
    "Tier",
    "Url",
    "VehicleState",
    "Watts",
    "condition_column",
    "manifest_name",
]
