from dataclasses import fields, replace
from datetime import datetime
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parkade.errors import InvalidInput
from parkade.vehicle import contract as terms_of
from parkade.vehicle.clock import Instant
from parkade.vehicle.contract import LOOSEST, Contract, QuietHours, Spent, evaluate, out_of_range, strictest
from parkade.vehicle.reasons import Reason, Refusal
from parkade.vehicle.signals import Link, Signals, State
from parkade.vehicle.terms import read, read_told, shown, tighten

NOON = datetime(2026, 5, 4, 12, 0)  # noqa: DTZ001 -- local time of the car
NIGHT = NOON.replace(hour=23)
NOW = Instant(NOON, 0.0)
PARKED = Signals(plugged_in=True, state_of_charge=80.0, link=Link.WiFi)

CASES = [
    ("parked at home", {}, {}, False, NOON, None),
    ("about to leave", {}, {"leaving": True}, False, NOON, Reason.Leaving),
    ("boarding", {}, {"boarding": True}, False, NOON, Reason.Leaving),
    ("paused", {}, {}, True, NOON, Reason.Paused),
    ("unplugged", {}, {"plugged_in": False}, False, NOON, Reason.NotPluggedIn),
    ("unplugged and allowed to be", {"requirePluggedIn": False}, {"plugged_in": False}, False, NOON, None),
    ("battery low", {}, {"state_of_charge": 49.9}, False, NOON, Reason.ChargeTooLow),
    ("battery at the limit", {}, {"state_of_charge": 50.0}, False, NOON, None),
    ("on the phone network", {}, {"link": Link.Cellular}, False, NOON, Reason.LinkNotAllowed),
    ("phone network allowed", {"links": ["Cellular"]}, {"link": Link.Cellular}, False, NOON, None),
    ("no link allowed", {"links": []}, {}, False, NOON, Reason.LinkNotAllowed),
    ("asleep in quiet hours", {"quietHours": "22:00-06:00"}, {}, False, NIGHT, Reason.QuietHours),
    ("asleep before quiet hours", {"quietHours": "22:00-06:00"}, {}, False, NOON, None),
    ("awake in quiet hours", {"quietHours": "22:00-06:00"}, {"sentry": True}, False, NIGHT, None),
    ("quiet at noon only", {"quietHours": "11:30-12:30"}, {}, False, NOON, Reason.QuietHours),
    (
        "departs soon",
        {"readyBefore": "30m"},
        {"departs_at": 29 * 60},
        False,
        NOON,
        Reason.DepartingSoon,
    ),
    ("departs later", {"readyBefore": "30m"}, {"departs_at": 31 * 60}, False, NOON, None),
    ("leaving beats the rest", {}, {"leaving": True, "plugged_in": False}, True, NOON, Reason.Leaving),
]


@pytest.mark.parametrize(
    ("terms", "signals", "paused", "now", "reason"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_a_car_works_only_as_its_contract_says(terms, signals, paused, now, reason):
    refusal = evaluate(read(terms), replace(PARKED, **signals), paused, Instant(now, 0))
    assert (refusal.reason if refusal else None) == reason
    if refusal:
        assert len(refusal.message) > 20
        assert refusal.message[0].islower() or refusal.message[0].isdigit()


OFF_PLUG = {"plugged_in": False}
ACCOUNTS = [
    ("range left", {"requirePluggedIn": False}, OFF_PLUG, Spent(km=4.9), None),
    ("range spent", {"requirePluggedIn": False}, OFF_PLUG, Spent(km=5, km_returns=3600), Reason.RangeSpent),
    ("range spent, on the plug again", {}, {}, Spent(km=5), None),
    ("no range given", {"requirePluggedIn": False, "maxRangeLossPerDay": 0}, OFF_PLUG, Spent(), Reason.RangeSpent),
    ("data left", {"dataCapPerDay": "1Ki"}, {}, Spent(bytes=1023), None),
    ("data carried", {"dataCapPerDay": "1Ki"}, {}, Spent(bytes=1024), Reason.DataCapReached),
    ("record lost, and a cap", {"dataCapPerDay": "1Ki"}, {}, Spent(inf, inf), Reason.DataCapReached),
    ("record lost, and no cap", {}, {}, Spent(inf, inf), None),
    ("too hot", {"maxCelsius": 70}, {"celsius": 70.1}, Spent(), Reason.TooHot),
    ("hot, and still allowed", {"maxCelsius": 70}, {"celsius": 70.0}, Spent(), None),
    ("not cooled enough", {"maxCelsius": 70}, {"celsius": 67.1}, Spent(out_of_range=True), Reason.TooHot),
    ("cooled", {"maxCelsius": 70}, {"celsius": 67.0}, Spent(out_of_range=True), None),
    ("too cold", {"minCelsius": -20, "maxCelsius": 70}, {"celsius": -21.0}, Spent(), Reason.TooCold),
    ("no thermometer", {"maxCelsius": 70}, {}, Spent(), None),
    ("no own price", {"netPositive": True}, {}, Spent(), None),
    ("price paid", {"energyPrice": "0.31"}, {}, Spent(paid=0.31), None),
    ("price not paid", {"energyPrice": "0.31"}, {}, Spent(paid=0.30), Reason.PriceTooLow),
    ("price not told", {"energyPrice": "0.31"}, {}, Spent(), Reason.PriceUnknown),
    ("price not asked for", {"energyPrice": "0.31", "netPositive": False}, {}, Spent(), None),
]


@pytest.mark.parametrize(
    ("terms", "signals", "spent", "reason"), [c[1:] for c in ACCOUNTS], ids=[c[0] for c in ACCOUNTS]
)
def test_a_car_works_only_within_its_allowances(terms, signals, spent, reason):
    refusal = evaluate(read(terms), replace(PARKED, **signals), False, NOW, spent)
    assert (refusal.reason if refusal else None) == reason


def test_the_owners_price_is_in_no_sentence_that_leaves_the_car():
    for spent in (Spent(), Spent(paid=0.1)):
        refusal = evaluate(read({"energyPrice": "0.7321"}), PARKED, False, NOW, spent)
        assert refusal is not None
        assert "0.73" not in refusal.message


def test_a_temperature_at_the_edge_does_not_flap():
    contract, seen, out = read({"maxCelsius": 70}), [], False
    for celsius in (69, 71, 69, 71, 68, 67, 69):
        out = out_of_range(contract, replace(PARKED, celsius=celsius), out)
        seen.append(out)
    assert seen == [False, True, True, True, True, False, False]


@pytest.mark.parametrize(
    ("terms", "word"),
    [
        ({"minStateOfCharge": 120}, "percentage"),
        ({"minStateOfCharge": "50"}, "percentage"),
        ({"requirePluggedIn": "yes"}, "true or false"),
        ({"links": ["Wifi"]}, "WiFi"),
        ({"links": "WiFi"}, "list"),
        ({"quietHours": "22-06"}, "22:00-06:00"),
        ({"readyBefore": "5d"}, "1h30m"),
        ({"maxRangeLossPerDay": -1}, "kilometres from 0 to 1000"),
        ({"maxRangeLossPerDay": float("nan")}, "kilometres"),
        ({"dataCapPerDay": "2 GB"}, "900Mi"),
        ({"dataCapPerDay": "9" * 400}, "at most"),
        ({"netPositive": 1}, "true or false"),
        ({"energyPrice": "nan"}, "0.31"),
        ({"energyPrice": True}, "0.31"),
        ({"maxCelsius": "hot"}, "degrees"),
        ({"quietHours": ["22:00-06:00"] * 9}, "at most 8"),
        ({"noSuchTerm": 1}, "not a term"),
    ],
)
def test_a_term_that_cannot_be_meant_is_refused_with_its_remedy(terms, word):
    with pytest.raises(InvalidInput, match=word):
        read(terms)


def test_terms_of_a_newer_pool_are_named_as_not_enforced():
    assert read_told({"dataCapPerDay": "2Gi", "ofTomorrow": True}).not_enforced == ("ofTomorrow",)


def test_no_term_is_forgotten_when_two_contracts_meet():
    loose = {name: getattr(LOOSEST, name) for name in (f.name for f in fields(Contract))}
    tight = Contract(
        True, 90, 1, frozenset({Link.WiFi}), 10, (QuietHours(NOON.time(), NIGHT.time()),), 60, True, 0.3, 0, 40,
        ("ofTomorrow",),
    )  # fmt: skip
    assert all(getattr(tight, name) != value for name, value in loose.items())
    assert strictest(tight, LOOSEST) == strictest(LOOSEST, tight) == tight
    assert read(shown(tight), LOOSEST) == tight


@pytest.mark.parametrize(
    ("terms", "word"),
    [
        ({"minStateOfCharge": 40}, "50 or more"),
        ({"requirePluggedIn": False}, "looser"),
        ({"links": ["WiFi", "Cellular"]}, "Cellular"),
        ({"readyBefore": "10m"}, "1800s or more"),
        ({"maxRangeLossPerDay": 6}, "5 or less"),
        ({"dataCapPerDay": "2Mi"}, "1048576 or less"),
        ({"netPositive": False}, "looser"),
        ({"maxCelsius": 80}, "70 or less"),
        ({"minCelsius": -30}, "-20 or more"),
    ],
)
def test_the_owner_cannot_loosen(terms, word):
    floor = read({"readyBefore": "30m", "dataCapPerDay": "1Mi", "minCelsius": -20, "maxCelsius": 70})
    refusal = tighten(floor, LOOSEST, terms)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.LooserThanContract
    assert word in refusal.message


def test_the_owner_can_tighten_and_take_it_back_as_far_as_the_contract():
    floor = Contract()
    own = tighten(floor, LOOSEST, {"minStateOfCharge": 80, "links": ["Ethernet"]})
    assert isinstance(own, Contract)
    assert strictest(floor, own).min_state_of_charge == 80
    assert strictest(floor, own).links == {Link.Ethernet}
    own = tighten(floor, own, {"minStateOfCharge": 60})
    assert isinstance(own, Contract)
    assert strictest(floor, own).min_state_of_charge == 60
    assert strictest(floor, own).links == {Link.Ethernet}


contracts = st.builds(
    Contract,
    require_plugged_in=st.booleans(),
    min_state_of_charge=st.integers(0, 100).map(float),
    links=st.frozensets(st.sampled_from(list(Link))),
    quiet_hours=st.lists(
        st.builds(QuietHours, st.times().map(lambda t: t.replace(second=0, microsecond=0)), st.just(NIGHT.time())),
        max_size=2,
    ).map(tuple),
    ready_before=st.integers(0, 7200).map(float),
    max_range_loss_per_day=st.integers(0, 9).map(float) | st.just(inf),
    data_cap_per_day=st.integers(0, 9).map(float) | st.just(inf),
    net_positive=st.booleans(),
    energy_price=st.just(-inf) | st.integers(-2, 2).map(float),
    min_celsius=st.just(-inf) | st.integers(-40, 20).map(float),
    max_celsius=st.just(inf) | st.integers(0, 90).map(float),
)
accounts = st.builds(
    Spent,
    km=st.integers(0, 9).map(float) | st.just(inf),
    bytes=st.integers(0, 9).map(float) | st.just(inf),
    paid=st.none() | st.integers(-2, 2).map(float),
)
moments = st.builds(
    Signals,
    plugged_in=st.booleans(),
    state_of_charge=st.integers(0, 100).map(float),
    link=st.sampled_from(list(Link)),
    charging=st.booleans(),
    sentry=st.booleans(),
    leaving=st.booleans(),
    departs_at=st.none() | st.integers(0, 7200).map(float),
    celsius=st.none() | st.integers(-40, 100).map(float),
)


@settings(deadline=None)
@given(floor=contracts, own=contracts, signals=moments, paused=st.booleans(), spent=accounts)
def test_the_stricter_of_two_contracts_allows_nothing_that_one_of_them_refuses(floor, own, signals, paused, spent):
    both = strictest(floor, own)
    refusals = [evaluate(contract, signals, paused, NOW, spent) for contract in (both, floor, own)]
    if refusals[0] is None:
        assert refusals[1:] == [None, None]
    elif refusals[1:] == [None, None]:  # the price is one side's word and its being asked for the other's
        assert refusals[0].reason in (Reason.PriceTooLow, Reason.PriceUnknown)


@settings(deadline=None)
@given(installed=st.none() | contracts, told=st.none() | contracts)
def test_the_floor_is_what_the_pool_tells_and_never_looser_than_what_was_installed(installed, told):
    both = [contract for contract in (installed, told) if contract is not None] or [Contract()]
    assert terms_of.floor(installed, told) == (strictest(*both) if len(both) == 2 else both[0])


@settings(deadline=None)
@given(contract=contracts)
def test_terms_are_shown_in_the_words_that_are_read(contract):
    assert read(shown(contract), LOOSEST) == contract


@settings(deadline=None)
@given(charging=st.booleans(), plugged=st.booleans(), sentry=st.booleans(), occupant=st.booleans())
def test_the_state_is_what_the_car_would_do_without_us(charging, plugged, sentry, occupant):
    state = Signals(plugged_in=plugged, charging=charging, sentry=sentry, occupant=occupant).state
    if charging and plugged:
        assert state is State.Charging
    elif sentry or occupant:
        assert state is State.Awake
    else:
        assert state is State.Asleep
