"""`make dashboard-pictures`: a real Prometheus reads the demo, and every dashboard is drawn from what it answers.

The demo's workloads are asked all along, the price of the demo changes, and its cars leave, fall silent and lie.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from dashboards.picture import draw_all
from demo.client import Traffic
from demo.happenings import play
from demo.inputs import samples
from demo.models import fetch
from demo.run import CARS, MANIFESTS, MOVED, NEW_PRICE, WORKLOADS, Show, placeholders
from go_tools import go_tool
from monitored import watching
from parkade.local.paths import source_root
from world import World

CALM_SECONDS = 60.0
"""Traffic before anything happens, so that a change can be seen as one."""
FIRST_SECONDS = 30.0
"""Of it are not drawn: rates rise from nothing."""


def main() -> None:
    """Run the demo under a Prometheus and draw its last minutes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the pictures go, one PNG a dashboard")
    folder: Path = parser.parse_args().folder
    root, show = source_root(), Show()
    assert root is not None, "this needs a checkout"
    prometheus = go_tool(
        root, "prometheus", "github.com/prometheus/prometheus/cmd/prometheus", "-tags", "remove_all_sd"
    )
    models, directory = fetch(show), Path(tempfile.mkdtemp(prefix="parkade-pictures-"))
    world = World(directory, show)
    try:
        world.start()
        for car in CARS:
            world.start_car(car)
        world.apply(world.render(MANIFESTS, placeholders(world, models)))
        questions = samples(models, show)
        with watching(world, prometheus, root / "charts" / "parkade" / "rules" / "parkade.yaml") as watched:
            world.await_ready(WORKLOADS)
            began = time.time()
            with Traffic(world.loads(questions, WORKLOADS, seconds=CALM_SECONDS), seconds=3 * CALM_SECONDS) as traffic:
                traffic.finish()
            world.plane.kubectl("patch", "tp", "austin-a100", "--type=merge", "-p", NEW_PRICE)
            world.await_that(
                f"{MOVED} moves", lambda: any("austin" not in place for place in world.places(MOVED)), 60.0
            )
            play(world, questions, WORKLOADS, show)
            draw_all(watched.url, folder, round(time.time() - began - FIRST_SECONDS))
    finally:
        world.stop(purge=True)
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
