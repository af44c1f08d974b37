"""What kind of place a supply is, read from the problem file."""

import numpy as np
from numpy.typing import NDArray

from parkade.problem.arrays import ProblemArrays


def is_vehicle(problem: ProblemArrays) -> NDArray[np.bool_]:
    """[K]: supplies of cars have the resource `unit`, servers have others."""
    names, offsets = problem.supplies_capacity_name, problem.supplies_capacity_offsets.astype(np.int64)
    units = np.append(np.cumsum(names == "unit"), 0)
    first = np.append(0, units[:-1]) if len(names) else np.zeros(1, np.int64)
    return (first[offsets[1:]] - first[offsets[:-1]]) > 0


def domains(problem: ProblemArrays) -> NDArray[np.int64]:
    """[K]: the failure domain of each supply, its region: the first part of an id such as `us-ca/hw4/WiFi/Charging`.

    Without ids each supply is a domain of its own.
    """
    supplies = len(problem.supplies_steps_offsets) - 1
    if problem.supplies_id is None:
        return np.arange(supplies)
    regions = [str(identity).split("/", 1)[0] for identity in problem.supplies_id]
    return np.unique(regions, return_inverse=True)[1].astype(np.int64)
