"""The custom resources: one kind a file with its spec, status, defaults, rules and messages.

CRDs, their CEL rules and the field reference are generated from here, so a rule is written once. This room reads no
cluster, no clock and no environment, and it does not judge across objects: that a name is taken or a piece of hardware
unknown is a condition which the planning cycle sets, with a Reason that is defined here.
"""

from parkade.api.base import Condition
from parkade.api.gridevent import GridEvent
from parkade.api.honoured import unhonoured_fields
from parkade.api.manifests import KINDS, AnyResource, check_update, load, parse, read_manifests
from parkade.api.reasons import Reason
from parkade.api.region import Region
from parkade.api.tritonpool import TritonPool
from parkade.api.vehiclecell import VehicleCell
from parkade.api.vehiclenodepool import VehicleNodePool
from parkade.api.workload import InferenceWorkload

__all__ = [
    "KINDS",
    "AnyResource",
    "Condition",
    "GridEvent",
    "InferenceWorkload",
    "Reason",
    "Region",
    "TritonPool",
    "VehicleCell",
    "VehicleNodePool",
    "check_update",
    "load",
    "parse",
    "read_manifests",
    "unhonoured_fields",
]
