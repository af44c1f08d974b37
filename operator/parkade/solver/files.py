"""Problem and state files as the kernel takes them; large arrays are fetched one by one and never held twice."""

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.lib.npyio import NpzFile

from parkade.errors import InvalidProblem
from parkade.problem.arrays import ENTRIES
from parkade.solver.arrays import Array
from parkade.solver.prepared import Prepared

STATE: Final = (
    "rents",
    "weights",
    "multipliers",
    "unit_prices",
    "limit_prices",
    "theta",
    "arcs",
    "flow",
    "replicas.arc",
    "replicas.count",
)
"""What a solve leaves for the next; arcs are indices of the problem file."""

_DAMAGED: Final = (ValueError, EOFError, KeyError, MemoryError, NotImplementedError, zipfile.BadZipFile, zlib.error)
"""All that numpy raises on files that are not what their names say."""


def read_problem(path: Path) -> Prepared:
    """Read a problem file of either format.

    Raises:
        InvalidProblem: the file cannot be read, is damaged, or breaks the format.
    """
    if path.suffix != ".npz":
        from parkade.problem.format import Problem  # noqa: PLC0415 -- its pydantic is slow to import

        try:
            return Prepared.of(Problem.from_json(path.read_bytes()))
        except OSError as error:
            raise InvalidProblem(f"{path} cannot be read: {error.strerror}; name an existing problem file") from None
    with _opened(path, "problem") as file:
        unknown = sorted(set(file) - set(ENTRIES) - {"version"})
        if unknown:
            raise InvalidProblem(f"{unknown[0]} is not an entry of the problem file; remove it or correct its name")
        return Prepared.of_mapping(file)


def read_state(path: Path) -> dict[str, Array]:
    """Read what `--save-state` wrote.

    Raises:
        InvalidProblem: the file cannot be read, is damaged, or holds something else.
    """
    with _opened(path, "state") as file:
        missing = sorted({"version", *STATE} - set(file))
        if missing:
            raise InvalidProblem(f"{path} has no {missing[0]}: it is no state; write one by parkade solve --save-state")
        if file["version"] != 1:
            raise InvalidProblem(f"{path} has another version than 1; write it again by parkade solve --save-state")
        return {name: file[name] for name in STATE}


def write_arrays(path: Path, arrays: Mapping[str, Any], option: str) -> None:
    """Write an `.npz` file, uncompressed; equal arrays give equal bytes.

    Raises:
        InvalidProblem: the file cannot be written.
    """
    try:
        with path.open("wb") as file:  # numpy would add .npz to other names
            np.savez(file, allow_pickle=False, **arrays)
    except OSError as error:
        raise InvalidProblem(f"{path} cannot be written: {error.strerror}; choose another {option}") from None


@contextmanager
def _opened(path: Path, what: str) -> Iterator[NpzFile]:
    """Whatever is wrong with the file is one sentence."""
    try:
        with path.open("rb") as raw:  # numpy leaves a damaged file open
            opened = np.load(raw, allow_pickle=False)
            if not isinstance(opened, NpzFile):
                raise InvalidProblem(f"{path} holds one array, not a {what}; write the entries by numpy.savez")
            with opened as file:
                yield file
    except OSError as error:
        raise InvalidProblem(
            f"{path} cannot be read: {error.strerror or error}; name an existing {what} file"
        ) from None
    except _DAMAGED as error:
        raise InvalidProblem(f"{path} is damaged or no .npz file: {error}; write it again") from None
