import kopf
import pytest

from parkade.handlers import watching
from parkade.handlers.waking import Wake

META = {"uid": "u", "generation": 1}


@pytest.fixture
def wake():
    return Wake(quiet=0.0, longest=0.0)


def event(handler, memo, body, kind="MODIFIED"):
    handler(type=kind, body=body, memo=memo)


@pytest.mark.parametrize(
    ("essence", "before", "after", "wakes"),
    [
        (watching.whole, {"metadata": META, "status": {"a": 1}}, {"metadata": META, "status": {"a": 2}}, True),
        (watching.whole, {"metadata": META}, {"metadata": META | {"generation": 2}}, True),
        (watching.whole, {"metadata": META}, {"metadata": META | {"deletionTimestamp": "t"}}, True),
        (watching.whole, {"metadata": META}, {"metadata": META | {"resourceVersion": "2"}}, False),
        (watching.node, {"metadata": META}, {"metadata": META, "spec": {"unschedulable": True}}, True),
        (watching.node, {"metadata": META}, {"metadata": META, "status": {"heartbeat": 2}}, False),
        (watching.pod, {"metadata": META}, {"metadata": META, "status": {"phase": "Running"}}, False),
        (watching.lease, {"metadata": META}, {"metadata": META, "spec": {"renewTime": "2"}}, False),
        (watching.lease, {"metadata": META}, {"metadata": META | {"annotations": {"http": "x"}}}, True),
        (
            watching.service,
            {"metadata": META, "spec": {"ports": [1]}},
            {"metadata": META, "spec": {"ports": [2]}},
            True,
        ),
        (watching.service, {"metadata": META}, {"metadata": META | {"resourceVersion": "2"}}, False),
        (watching.content, {"data": {"mode": "Apply"}}, {"data": {"mode": "Observe"}}, True),
    ],
)
def test_what_wakes_the_cycle(wake, essence, before, after, wakes):
    handler, memo = watching.waker(wake, "cause", essence), kopf.Memo()
    event(handler, memo, before)
    assert wake.wait(0.0).causes == ("cause",)
    event(handler, memo, after)
    assert wake.wait(0.0).causes == (("cause",) if wakes else ())
    event(handler, memo, after, "DELETED")
    assert wake.wait(0.0).causes == ("cause",)


def test_kopf_watches_and_nothing_else(wake):
    registry = kopf.OperatorRegistry()
    watching.register(registry, wake)
    kinds = [getattr(registry, name) for name in ("_spawning", "_changing", "_webhooks", "_indexing")]
    assert all(not kind.get_all_handlers() for kind in kinds)
    watched = registry._watching.get_all_handlers()  # noqa: SLF001 -- kopf shows a registry in no other way
    assert len(watched) == len(watching.OWN_PLURALS) + 5


def test_kopf_writes_nothing_and_tries_without_end():
    settings = watching.settings()
    assert not settings.posting.enabled
    assert settings.peering.standalone
    patience = iter(settings.networking.error_backoffs)
    assert [next(patience) for _ in range(1000)] == [1.0] * 1000
