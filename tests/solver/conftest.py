import json
from pathlib import Path
from typing import Any

import pytest

from parkade.problem.format import Problem

REFERENCE = Path(__file__).parents[2] / "docs" / "placement.md"


@pytest.fixture(scope="session")
def example_text() -> str:
    """The example of the reference, exactly as printed there."""
    return REFERENCE.read_text().split("```json\n")[1].split("```")[0]


@pytest.fixture
def example_file(example_text: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(example_text)
    return parsed


@pytest.fixture
def example(example_text: str) -> Problem:
    return Problem.from_json(example_text)
