import pytest

import worlds
from parkade.errors import InvalidInput
from parkade.problem.framing import frame
from parkade.settings import Economics, Settings


def limits(economics: Economics, *objects) -> dict[str, tuple[float, list[float]]]:
    found = frame(worlds.snapshot(objects), economics, offline=True)
    ids = [arc.id.partition("@")[2] for arc in found.problem.arcs]
    return {
        limit.id: (limit.bound, {ids[arc]: coefficient for arc, coefficient in limit.terms})
        for limit in found.problem.limits
    }


def test_a_zone_counts_busy_cars_at_the_plug_and_what_requests_add_to_servers():
    here = worlds.region(gridZone="CAISO-PGE")
    away = worlds.region("us-tx", latency=[{"to": "us-ca", "p50": "38ms", "p99": "61ms"}])
    found = limits(
        Economics(zone_kilowatts={"CAISO-PGE": 5.0}),
        here, away, worlds.cars(), worlds.servers(), worlds.cars("tx", region="us-tx"), worlds.workload(),
    )  # fmt: skip
    bound, watts = found["power/CAISO-PGE"]
    assert bound == 5.0
    # 100 W through a charger of 88 %; 0.6 J for half of 60/s with a PUE of 1.25
    assert watts["ca-home-hw4/WiFi/Charging/new"] == pytest.approx(0.11364, rel=1e-4)
    assert watts["austin-a100/new"] == pytest.approx(30 * 0.6 * 1.25 / 1000)
    assert not any("tx/" in place for place in watts)


def test_an_uplink_counts_requests_and_answers_of_cars():
    found = limits(Economics(uplink_megabits={"us-ca": 40.0}), worlds.region(), worlds.cars(), worlds.servers(),
                   worlds.workload())  # fmt: skip
    bound, megabits = found["uplink/us-ca"]
    assert bound == 40.0
    assert megabits == {"ca-home-hw4/WiFi/Charging/new": pytest.approx(30 * 21 * 1024 * 8 / 1e6)}


def test_zones_that_nobody_limits_are_unlimited():
    assert limits(Economics(), worlds.region(), worlds.cars(), worlds.workload()) == {}


def test_the_environment_sets_limits_of_the_site():
    read = Settings.from_environment({"PARKADE_ZONE_KILOWATTS": "CAISO-PGE=5000,z=0.5", "PARKADE_UPLINK_MEGABITS": ""})
    assert read.economics.zone_kilowatts == {"CAISO-PGE": 5000.0, "z": 0.5}
    assert read.economics.uplink_megabits == {}
    for text in ("5000", "a=", "=5", "a=-1", "a=nan", "a=inf"):
        with pytest.raises(InvalidInput, match="write for example us-ca=500"):
            Settings.from_environment({"PARKADE_ZONE_KILOWATTS": text})
