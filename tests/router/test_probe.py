"""`parkade probe`, which `helm test` runs: against a real router in front of a real Triton server."""

import subprocess
import sys

import pytest

from router.doubler import DoublerServer
from router.peers import Router, cell
from router.places import MODEL

pytestmark = pytest.mark.triton


def probe(router: Router, *arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "parkade", "probe", f"--http={router.http}", f"--seconds={seconds}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_model_that_is_served_answers(router: Router, server: DoublerServer) -> None:
    router.planned(server.placement())
    done = probe(router, f"--model={MODEL}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"the router at {router.http} is ready", f"{MODEL} answered y FP32 [32]"]
    assert router.metric("requests_total", tier="Datacenter", outcome="answered") >= 1


def test_without_a_model_readiness_is_enough(router: Router) -> None:
    router.planned(cell())
    done = probe(router)
    assert (done.returncode, done.stdout) == (0, f"the router at {router.http} is ready\n")


def test_a_model_that_nobody_serves_fails_with_the_routers_sentence(router: Router) -> None:
    router.planned(cell())
    done = probe(router, "--model=nobody", seconds=0.5)
    assert done.returncode == 1
    assert done.stderr.startswith(f"parkade: the router at {router.http} answers: ")
    assert "nobody" in done.stderr


def test_a_router_that_is_away_fails(router: Router) -> None:
    router.planned(cell())
    router.stop()
    done = probe(router, seconds=0.5)
    assert done.returncode == 1
    assert f"the router at {router.http} does not answer" in done.stderr
