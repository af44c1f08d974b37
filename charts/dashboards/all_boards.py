"""All dashboards, and where their files are."""

from pathlib import Path
from typing import Final

from dashboards.energy import ENERGY
from dashboards.fleet import FLEET
from dashboards.placement import PLACEMENT
from dashboards.requests import REQUESTS
from dashboards.solver import SOLVER

BOARDS: Final = (FLEET, PLACEMENT, REQUESTS, ENERGY, SOLVER)
FOLDER: Final = Path(__file__).parents[1] / "parkade" / "dashboards"
