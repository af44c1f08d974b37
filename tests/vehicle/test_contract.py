from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parkade.errors import InvalidInput
from parkade.vehicle import contract as terms_of
from parkade.vehicle.contract import LOOSEST, Contract, QuietHours, evaluate, read, shown, strictest, tighten
from parkade.vehicle.reasons import Reason, Refusal
from parkade.vehicle.signals import Link, Signals, State

NOON = datetime(2026, 5, 4, 12, 0)  # noqa: DTZ001 -- local time of the car
NIGHT = NOON.replace(hour=23)
PARKED = Signals(plugged_in=True, state_of_charge=80.0, link=Link.WiFi)

CASES = [
    ("parked at home", {}, {}, False, NOON, None),
    ("about to leave", {}, {"leaving": True}, False, NOON, Reason.Leaving),
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
        {"departure": NOON + timedelta(minutes=29)},
        False,
        NOON,
        Reason.DepartingSoon,
    ),
    ("departs later", {"readyBefore": "30m"}, {"departure": NOON + timedelta(minutes=31)}, False, NOON, None),
    ("leaving beats the rest", {}, {"leaving": True, "plugged_in": False}, True, NOON, Reason.Leaving),
]


@pytest.mark.parametrize(
    ("terms", "signals", "paused", "now", "reason"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_a_car_works_only_as_its_contract_says(terms, signals, paused, now, reason):
    refusal = evaluate(read(terms), replace(PARKED, **signals), paused, now)
    assert (refusal.reason if refusal else None) == reason
    if refusal:
        assert len(refusal.message) > 20
        assert refusal.message[0].islower() or refusal.message[0].isdigit()


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
        ({"noSuchTerm": 1}, "not a term"),
    ],
)
def test_a_term_that_cannot_be_meant_is_refused_with_its_remedy(terms, word):
    with pytest.raises(InvalidInput, match=word):
        read(terms)


def test_terms_not_enforced_yet_are_named():
    assert read({"dataCapPerDay": "2Gi", "netPositive": True}).not_enforced == ("dataCapPerDay", "netPositive")


@pytest.mark.parametrize(
    ("terms", "word"),
    [
        ({"minStateOfCharge": 40}, "50 or more"),
        ({"requirePluggedIn": False}, "looser"),
        ({"links": ["WiFi", "Cellular"]}, "Cellular"),
        ({"readyBefore": "10m"}, "shorter"),
    ],
)
def test_the_owner_cannot_loosen(terms, word):
    refusal = tighten(read({"readyBefore": "30m"}), LOOSEST, terms)
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
)
moments = st.builds(
    Signals,
    plugged_in=st.booleans(),
    state_of_charge=st.integers(0, 100).map(float),
    link=st.sampled_from(list(Link)),
    charging=st.booleans(),
    sentry=st.booleans(),
    leaving=st.booleans(),
    departure=st.none() | st.integers(0, 7200).map(lambda s: NOON + timedelta(seconds=s)),
)


@settings(deadline=None)
@given(floor=contracts, own=contracts, signals=moments, paused=st.booleans())
def test_the_stricter_of_two_contracts_allows_nothing_that_one_of_them_refuses(floor, own, signals, paused):
    allowed = evaluate(strictest(floor, own), signals, paused, NOON) is None
    assert allowed == all(evaluate(contract, signals, paused, NOON) is None for contract in (floor, own))


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
