"""The pages on how to add something, followed as far as code goes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as triton
import uvicorn
import yaml
from click.testing import CliRunner

from pages.reading import ROOT, blocks
from parkade.errors import ModelRejected
from parkade.local.pki import Authority
from parkade.plan.command import plan
from parkade.vehicle.kserve import KServe, Served

MAIN = "import sys; from parkade.cli import main; sys.exit(main())"


def printed(page: str, language: str) -> list[str]:
    return [block.text for block in blocks(language) if block.page == page]


def test_hardware_that_nobody_knew_is_planned(tmp_path: Path) -> None:
    for number, manifest in enumerate(printed("docs/extend/hardware.md", "yaml")):
        (tmp_path / f"{number}.yaml").write_text(manifest)
    (tmp_path / "regions.yaml").write_text((ROOT / "examples" / "regions.yaml").read_text())
    result = CliRunner().invoke(plan, ["-f", str(tmp_path), "-o", "json", "--at", "2026-01-01T00:00:00Z"])
    assert result.exit_code == 0, result.output
    (workload,) = json.loads(result.output)["workloads"]
    assert workload["placements"][0]["place"] == "ca-van-orin"


def test_hardware_without_a_profile_is_named(tmp_path: Path) -> None:
    pool, workload = (yaml.safe_load(manifest) for manifest in printed("docs/extend/hardware.md", "yaml"))
    workload["spec"]["model"]["profiles"] = []
    regions = list(yaml.safe_load_all((ROOT / "examples" / "regions.yaml").read_text()))
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all([*regions, pool, workload]))
    assert "model.profiles has no entry for orin-agx" in CliRunner().invoke(plan, ["-f", str(tmp_path)]).output


def test_the_runtime_of_the_page_answers_callers(tmp_path: Path) -> None:
    (code,) = printed("docs/extend/runtime.md", "python")
    names: dict[str, object] = {}
    exec(compile(code, "docs/extend/runtime.md", "exec"), names)  # noqa: S102 -- it is the page's own program
    runtime = names["TableRuntime"]()  # type: ignore[operator]
    weight = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.savez(tmp_path / "table.npz", weight=weight)
    model = runtime.load(tmp_path / "table.npz", "table", 2**20)
    with ThreadPoolExecutor(1) as executor:
        served = Served("table", "1", model, executor, lambda: True, lambda *_: None)
        server = uvicorn.Server(uvicorn.Config(KServe(served), port=0, lifespan="off", log_config=None))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            while not server.started:
                time.sleep(0.005)
            address = f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
            rows = np.ones((4, 3), np.float32)
            with triton.InferenceServerClient(address) as client:
                tensor = triton.InferInput("x", [4, 3], "FP32").set_data_from_numpy(rows)
                assert np.array_equal(client.infer("table", [tensor]).as_numpy("y"), rows @ weight)
        finally:
            server.should_exit = True
            thread.join()
    (tmp_path / "other.npz").write_bytes(b"no table")
    with pytest.raises(ModelRejected):
        runtime.load(tmp_path / "other.npz", "other", 2**20)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """The state directory of a running agent that reaches nobody."""
    authority = Authority(tmp_path / "pki")
    car = authority.issue("vehicle", common_name="vehicle", uris=("parkade://vehicle/owners-ca/v-1",))
    directory = tmp_path / "state"
    words = ["vehicle", "run", "--id", "v-1", "--fleet", "owners-ca", "--hardware", "hw4", "--nats", "nats://127.0.0.1:1",
             "--ca", str(authority.certificate), "--cert", str(car.certificate), "--key", str(car.key),
             "--state-dir", str(directory)]  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        agent = subprocess.Popen([sys.executable, "-c", MAIN, *words], stderr=log, env=os.environ)
    try:
        deadline = time.monotonic() + 40
        while not (directory / "api.json").exists():
            assert agent.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield directory
    finally:
        agent.send_signal(signal.SIGTERM)
        agent.wait(20)


def test_the_adapter_of_the_page_moves_a_real_agent(state: Path, tmp_path: Path) -> None:
    (code,) = printed("docs/extend/signals.md", "python")
    adapter = tmp_path / "adapter.py"
    adapter.write_text(code)
    done = subprocess.run(
        [sys.executable, str(adapter), str(state)],
        input="80,1\n20,1\n80,0\n", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.split() == ["works", "ChargeTooLow", "NotPluggedIn"]
