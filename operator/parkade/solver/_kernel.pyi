from collections.abc import Sequence
from typing import final

@final
class Problem:
    def __new__(cls, text: str) -> Problem: ...
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
