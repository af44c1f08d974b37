"""The plane that the tests of a fleet's life share within one file."""

from collections.abc import Iterator

import pytest

from fleet.town import Town


@pytest.fixture(scope="module")
def town(tmp_path_factory, repository_root) -> Iterator[Town]:
    town = Town(tmp_path_factory.mktemp("town"))
    try:
        town.start(repository_root)
        yield town
    finally:
        town.plane.stop()
