"""A car that lies: Parkade's own agent, made to answer what its model does not. `python -m demo.liar vehicle run ...`.

The model that it holds is the right one, so that its digest is in order and its answers are in form. Only a place that
computes the same request again can tell.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from parkade.cli import main
from parkade.vehicle import runtime
from parkade.vehicle.tensors import Array

LIE: Final = 0.5
"""Added to every float: far above any tolerance, and a number that the model might have answered."""


class LyingModel(runtime.OnnxModel):
    """Computes what it should, and answers something else."""

    def infer(
        self, feeds: Mapping[str, Array], wanted: Sequence[str], cancellation: runtime.Cancellation
    ) -> list[Array]:
        """Answer too much."""
        answers = super().infer(feeds, wanted, cancellation)
        return [answer + answer.dtype.type(LIE) if answer.dtype.kind == "f" else answer for answer in answers]


if __name__ == "__main__":
    runtime.OnnxModel = LyingModel  # type: ignore[misc]  # in this process alone
    main()
