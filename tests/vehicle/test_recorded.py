"""Messages of every version, as carlet and agents really sent them: understood today, and said as fully."""

import json
from pathlib import Path

import pytest

from parkade.vehicle import wire
from parkade.vehicle.enrolment import Enrolment, Record
from parkade.vehicle.notebook import Notebook
from parkade.vehicle.wire import Garbage, Identity

RECORDED = Path(__file__).parent / "recorded"
VERSIONS = sorted(path.name for path in RECORDED.iterdir())


def recorded(version: str, kind: str) -> bytes:
    return (RECORDED / version / f"{kind}.json").read_bytes()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_carlet_of_every_version_is_understood(version, tmp_path):
    desired = wire.read_desired(recorded(version, "desired"))
    assert desired.cell
    assert desired.contract is not None
    [assignment] = desired.assignments
    assert (assignment.workload, assignment.format) == ("default/sign-reader", "onnx")
    assert assignment.url.startswith("https://")
    assert wire.address(assignment.router)[0] == "127.0.0.1"
    assert wire.read_supported(recorded(version, "supported")).versions == (1,)
    grant = json.loads(recorded(version, "credentials"))
    record = Record("https://x", grant["fleet"], grant["vehicle"], 0.0, 0.0)
    assert Enrolment(Notebook(tmp_path), tmp_path, record).receive(recorded(version, "credentials"))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_carlet_of_every_version_finds_what_it_reads(version, tmp_path):
    said = json.loads(recorded(version, "hello"))
    identity = Identity(said["vehicle"], said["fleet"], said["hardware"], said["memory"], said["slots"], 1.0)
    hello = wire.write_hello(identity, said["cell"], said["models"], said["desired"])
    assert {name: hello.get(name) for name in said} == said
    beat = json.loads(recorded(version, "beat"))
    assert {name: type(value) for name, value in wire.write_beat(identity, 1).items()}.items() >= {
        name: type(value) for name, value in beat.items()
    }.items()
    ask = Enrolment(Notebook(tmp_path), tmp_path, Record("https://x", "f", "v", 0.0, 0.0)).ask()
    assert ask.keys() >= json.loads(recorded(version, "renew")).keys()


def test_what_is_not_understood_of_a_hello_is_told_in_a_sentence():
    other = wire.read_supported(b'{"v":7,"versions":[6,7],"brandNew":1}')
    assert other.sentence() == ("carlet speaks protocol 6, 7 and not 1: it does not hear this car; update one of them")
    older = wire.read_supported(b'{"v":1,"versions":[1],"unknown":["wings"]}')
    assert "does not read wings" in older.sentence()
    for payload in (b"", b"[" * 9000, b"null", b'{"v":1}', b'{"versions":1}', b'{"versions":[1],"unknown":1}'):
        with pytest.raises(Garbage):
            wire.read_supported(payload)
    with pytest.raises(Garbage):
        wire.read_desired(b'{"v":7,"cell":"","revision":"","assignments":[]}')
