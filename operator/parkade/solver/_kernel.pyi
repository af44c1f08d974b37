from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

def expand(tables: Mapping[str, Any], single: bool, threads: int = 0) -> dict[str, NDArray[Any]]: ...

@final
class Problem:
    def __new__(cls, text: str) -> Problem: ...
    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> Problem: ...
    def solve_arrays(
        self,
        work_limit: int,
        time_limit: float | None = None,
        threads: int = 0,
        state: Mapping[str, NDArray[Any]] | None = None,
    ) -> tuple[dict[str, str | float | NDArray[np.generic]], dict[str, int | NDArray[np.generic]]]: ...
    def solve(self, work_limit: int, time_limit: float | None = None) -> str: ...
    def bound(self, prices: str) -> float: ...
    def improve(
        self,
        solution: str,
        replicas: Sequence[int],
        prices: str,
        work_limit: int,
        time_limit: float | None = None,
    ) -> str: ...
