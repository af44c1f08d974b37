"""The owner's word: a pause, and terms tighter than the pool's. Both outlive a restart."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from parkade.errors import InvalidInput
from parkade.vehicle import terms
from parkade.vehicle.contract import LOOSEST, Contract
from parkade.vehicle.notebook import Notebook
from parkade.vehicle.reasons import Reason, Refusal

log = logging.getLogger(__name__)

FILE: Final = "owner.json"


class Owner:
    """What the owner last said, from the notebook on; `write` takes files by name, as the books do."""

    def __init__(self, notebook: Notebook, write: Callable[[Mapping[str, Any]], object]) -> None:
        self.paused, self.terms = False, LOOSEST
        self._lost = False
        self._write = write
        if notebook.read(FILE) is None:
            return
        said = notebook.read_json(FILE)
        try:
            self.terms = terms.read(said["terms"], LOOSEST)
            self.paused = {True: True, False: False}[said["paused"]]
        except (InvalidInput, KeyError, TypeError, AttributeError):
            self._lost = True
            log.warning("the owner's terms cannot be read; the car rests until its owner says `resume`")

    @property
    def refusal(self) -> Refusal | None:
        """Why the car rests whatever else holds: nobody knows under which terms it may work."""
        if not self._lost:
            return None
        return Refusal(
            Reason.OwnerTermsLost,
            "the file of the owner's terms is damaged; say `parkade vehicle resume`, then set them again",
        )

    def pause(self, paused: bool) -> None:  # noqa: FBT001 -- the owner's switch
        """Start or end the pause; its end makes up for lost terms."""
        self.paused = paused
        self._lost &= paused
        self._save()

    def tighten(self, floor: Contract, wanted: Mapping[str, Any]) -> Refusal | None:
        """Take the owner's own terms, or return why they would loosen the pool's (`floor`).

        Raises:
            InvalidInput: a term is unknown or its value cannot be meant.
        """
        found = terms.tighten(floor, self.terms, wanted)
        if isinstance(found, Refusal):
            return found
        self.terms = found
        self._save()
        return None

    def _save(self) -> None:
        """Lost terms stay lost, or a restart would forget that they were."""
        if not self._lost:
            self._write({FILE: {"paused": self.paused, "terms": terms.shown(self.terms)}})
