import asyncio

import pytest

from parkade.errors import InvalidInput
from parkade.vehicle.signals import Link, Signals, State, change, read_replay, replay, shown


def test_a_change_keeps_what_it_does_not_name_and_ignores_unknown_words():
    changed = change(Signals(state_of_charge=61), {"link": "Starlink", "charging": True, "tyrePressure": 2.5}, 0.0)
    assert (changed.link, changed.charging, changed.state_of_charge) == (Link.Starlink, True, 61)
    assert changed.state is State.Charging
    assert change(changed, {"state": "Awake"}, 0.0).state is State.Awake
    assert change(change(changed, {"state": "Awake"}, 0.0), {"state": None}, 0.0).state is State.Charging


def test_a_car_without_its_cable_does_not_charge_whatever_it_was_told():
    told = change(Signals(), {"state": "Charging"}, 0.0)
    assert change(told, {"pluggedIn": False}, 0.0).state is State.Asleep
    assert change(told, {"pluggedIn": False, "sentry": True}, 0.0).state is State.Awake
    assert change(change(told, {"pluggedIn": False}, 0.0), {"pluggedIn": True}, 0.0).state is State.Charging


def test_an_opened_door_announces_a_departure_until_nobody_is_in():
    steps = [
        ({"door": True}, True),
        ({"soc": 61}, True),
        ({"door": False}, False),  # something was fetched
        ({"door": True, "occupant": True}, True),
        ({"door": False}, True),
        ({"charging": False}, True),
        ({"occupant": False}, False),
        ({"occupant": True}, False),  # by another door
        ({"door": True}, True),
        ({"leaving": False}, False),  # the owner knows better
        ({"soc": 62}, False),
        ({"leaving": True}, True),
        ({"door": False, "occupant": False}, True),
    ]
    signals = Signals()
    for number, (fields, departing) in enumerate(steps):
        signals = change(signals, fields, 0.0)
        assert signals.departing is departing, (number, fields)
        assert change(Signals(), shown(signals, 0.0), 0.0) == signals


@pytest.mark.parametrize(
    "fields",
    [
        {"soc": 101},
        {"soc": True},
        {"soc": "80"},
        {"link": "Wifi"},
        {"pluggedIn": 1},
        {"state": "On"},
        {"departureIn": -1},
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(fields):
    with pytest.raises(InvalidInput, match=next(iter(fields))):
        change(Signals(), fields, 0.0)


def test_a_replay_is_applied_in_order_at_its_times(tmp_path):
    path = tmp_path / "signals.jsonl"
    path.write_text('{"t": 0, "pluggedIn": true}\n\n{"t": 0.02, "soc": 40}\n{"t": 0.05, "pluggedIn": false}\n')
    moments = read_replay(path)
    heard = []

    async def play() -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        await replay(moments, lambda fields: heard.append((loop.time() - start, dict(fields))))

    asyncio.run(play())
    assert [fields.get("soc", fields.get("pluggedIn")) for _, fields in heard] == [True, 40, False]
    assert heard[1][0] >= 0.02
    assert heard[2][0] >= 0.05


@pytest.mark.parametrize(
    ("text", "word"),
    [("{", "line 1"), ('{"t": 5}\n{"t": 4}', "line 2"), ("[]", "line 1"), ('{"soc": 300}', "line 1.*soc")],
)
def test_a_broken_replay_names_its_line(tmp_path, text, word):
    path = tmp_path / "signals.jsonl"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=word):
        read_replay(path)


def test_a_missing_replay_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_replay(tmp_path / "none.jsonl")
