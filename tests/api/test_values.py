"""Text forms of quantities and the frozen parts they live in."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from api.manifest_table import BAD, GOOD
from parkade.api import InferenceWorkload, Reason, check_update, parse, read_manifests, unhonoured_fields
from parkade.api.base import Part, manifest_name
from parkade.api.values import Amount, Duration, FrozenMap, Instant, Number, Quantity, Text
from parkade.errors import InvalidManifest
from parkade.vehicle.reasons import Reason as CarReason


def test_values_keep_their_text_and_read_as_si() -> None:
    assert Duration("1m30.5s").seconds == 90.5
    assert Quantity("900Mi").bytes == 900 * 2**20
    assert Number("-0.02").value == -0.02
    assert Number("0.1").exact == Decimal("0.1")
    assert Instant("2026-08-18T16:00:00-07:00").time == datetime(2026, 8, 18, 23, tzinfo=UTC)


@given(st.decimals(min_value=0, max_value=999_999_999, places=9))
def test_every_plain_decimal_is_an_amount(number: Decimal) -> None:
    assert TypeAdapter(Amount).validate_python(f"{number:f}").exact == number


@given(st.text(max_size=12))
@pytest.mark.parametrize("kind", [Duration, Quantity, Number, Amount, Instant])
def test_what_a_value_takes_it_can_read(kind: type[Text], text: str) -> None:
    try:
        value = TypeAdapter(kind).validate_python(text)
    except ValidationError:
        return
    number = next(getattr(value, name) for name in ("seconds", "bytes", "exact", "time") if hasattr(value, name))
    assert number is not None


@given(st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.timezones()))  # noqa: DTZ001 -- hypothesis adds the zone
def test_every_time_that_python_writes_is_an_instant(moment: datetime) -> None:
    offset = moment.utcoffset()
    assume(offset is not None and offset.total_seconds() % 60 == 0)
    text = moment.isoformat()
    assert TypeAdapter(Instant).validate_python(text).time.isoformat() == text


@given(st.integers(1000, 9999), st.integers(0, 13), st.integers(0, 32))
def test_only_days_of_the_calendar_are_instants(year: int, month: int, day: int) -> None:
    try:
        date(year, month, day)
        exists = True
    except ValueError:
        exists = False
    text = f"{year}-{month:02}-{day:02}T00:00:00Z"
    assert all(rule.holds(text) for rule in Instant.rules) is exists


@pytest.mark.parametrize(
    ("field", "spelling"),
    [
        ("min_replicas", "minReplicas"),
        ("per_kwh", "perKWh"),
        ("target_kw", "targetKW"),
        ("per_gb", "perGB"),
        ("grams_co2_per_hour", "gramsCO2PerHour"),
        ("grpc_url", "grpcUrl"),
        ("p99", "p99"),
    ],
)
def test_fields_are_spelt_as_in_manifests(field: str, spelling: str) -> None:
    assert manifest_name(field) == spelling


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_objects_are_values(case: object) -> None:
    manifest = case.manifest  # type: ignore[attr-defined]
    one, other = parse(manifest), parse(manifest)
    assert one == other
    assert hash(one) == hash(other)
    assert parse(one.manifest()) == one
    with pytest.raises(ValidationError, match="frozen"):
        one.spec = other.spec


def test_frozen_maps_compare_by_content() -> None:
    assert FrozenMap({"a": 1, "b": 2}) == FrozenMap({"b": 2, "a": 1})
    assert hash(FrozenMap({"a": 1, "b": 2})) == hash(FrozenMap({"b": 2, "a": 1}))
    assert FrozenMap({"a": 1}) != FrozenMap({"a": 2})


def test_a_refusal_names_every_broken_rule_at_once() -> None:
    manifest = GOOD[0].manifest | {"spec": {**GOOD[0].manifest["spec"], "latency": {"target": "5d"}, "priority": -1}}
    with pytest.raises(InvalidManifest) as refusal:
        parse(manifest)
    assert len(str(refusal.value).splitlines()) == 3


def test_a_list_with_a_wrong_entry_is_not_also_called_short() -> None:
    spec = {**GOOD[0].manifest["spec"], "demand": [{"region": "us-ca", "rate": 120}]}
    with pytest.raises(InvalidManifest) as refusal:
        parse(GOOD[0].manifest | {"spec": spec})
    assert len(str(refusal.value).splitlines()) == 2


def test_a_broken_rule_stops_construction_in_code_too() -> None:
    with pytest.raises(ValidationError, match=r"set latency\.target"):
        type(parse(GOOD[0].manifest).spec)(model=parse(GOOD[0].manifest).spec.model)


def test_status_of_another_release_is_read_as_far_as_it_is_known() -> None:
    status = {"url": "127.0.0.1:8000", "replicas": 2, "mood": "good", "expected": {"p99": "61ms", "p100": "1s"}}
    workload = parse(GOOD[0].manifest | {"status": status})
    assert isinstance(workload, InferenceWorkload)
    assert workload.status.url == "127.0.0.1:8000"
    assert workload.status.expected.p99 == "61ms"


def test_metadata_is_read_as_the_api_server_writes_it() -> None:
    metadata = {
        "name": "sign-reader",
        "namespace": "vision",
        "uid": "5a",
        "generation": 4,
        "resourceVersion": "17",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "deletionTimestamp": "2026-01-02T00:00:00Z",
        "finalizers": ["parkade.dev/models"],
        "labels": {"a": "b"},
        "managedFields": [{"manager": "kubectl"}],
    }
    workload = parse(GOOD[0].manifest | {"metadata": metadata})
    assert workload.key == "vision/sign-reader"
    assert workload.metadata.generation == 4
    assert workload.metadata.deletion_timestamp == "2026-01-02T00:00:00Z"
    assert workload.metadata.labels == {"a": "b"}


def test_a_workload_without_a_namespace_is_in_default() -> None:
    workload = parse(GOOD[0].manifest | {"metadata": {"name": "sign-reader"}})
    assert workload.key == "default/sign-reader"


def test_other_kinds_are_refused_with_those_that_exist() -> None:
    with pytest.raises(InvalidManifest, match="one of InferenceWorkload"):
        parse({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}})


def test_times_in_manifests_stay_text_and_lists_are_opened() -> None:
    text = "kind: RegionList\nitems:\n- {kind: Region, at: 2026-08-18T16:00:00Z}\n---\n# nothing\n---\n{kind: Region}\n"
    assert list(read_manifests(text)) == [{"kind": "Region", "at": "2026-08-18T16:00:00Z"}, {"kind": "Region"}]


def test_text_that_is_not_yaml_is_refused_with_its_line() -> None:
    with pytest.raises(InvalidManifest, match="line 2"):
        list(read_manifests("a: 1\n b: [\n"))


def test_fields_that_are_not_acted_on_yet_are_named_only_when_set() -> None:
    batch = next(case for case in GOOD if case.name == "least batch")
    assert "spec.batch" in unhonoured_fields(parse(batch.manifest))
    event = next(case for case in GOOD if case.name == "least grid event")
    assert "spec.reduce" in unhonoured_fields(parse(event.manifest))
    assert unhonoured_fields(parse(GOOD[0].manifest)) == ()
    trust = {**GOOD[0].manifest["spec"], "trust": {"verifyPercent": 2}}
    assert unhonoured_fields(parse(GOOD[0].manifest | {"spec": trust})) == ()


def test_contract_terms_that_cars_enforce_are_honoured() -> None:
    pool = next(case for case in GOOD if case.manifest["kind"] == "VehicleNodePool").manifest
    enforced = {
        "requirePluggedIn": False, "minStateOfCharge": 60, "links": ["WiFi"], "quietHours": "22:00-06:00",
        "readyBefore": "10m", "maxRangeLossPerDay": 9, "dataCapPerDay": "2Gi", "netPositive": False,
    }  # fmt: skip
    spec = pool["spec"]
    before = unhonoured_fields(parse(pool | {"spec": spec | {"contract": {}}}))
    assert unhonoured_fields(parse(pool | {"spec": spec | {"contract": enforced}})) == before


def test_every_reason_that_a_car_may_give_is_in_the_reference() -> None:
    known = {str(reason.value) for reason in Reason}
    assert {str(reason) for reason in CarReason} <= known


def test_a_transition_is_checked_only_against_an_old_object() -> None:
    former = next(case for case in BAD if case.name == "write of a former leader")
    assert former.then is not None
    assert parse(former.then) is not None
    with pytest.raises(InvalidManifest, match="former leader"):
        check_update(parse(former.then), parse(former.manifest))


def test_every_rule_has_cel_and_a_sentence() -> None:
    def kinds(part: type[Part]) -> list[type[Part]]:
        return [part, *(deeper for child in part.__subclasses__() for deeper in kinds(child))]

    rules = [rule for part in kinds(Part) for rule in (*part.rules, *part.transitions)]
    assert len(rules) > 15
    assert all("self" in rule.cel and len(rule.message) > 20 for rule in rules)
