"""What is written to the API server, as JSON."""

from parkade.api import Condition
from parkade.api.workload import Expected, PlanQuality, WorkloadStatus
from parkade.changes import ShowStatus, Target
from parkade.cluster import manifests

TARGET = Target("InferenceWorkload", "vision", "sign-reader", "uid")


def shown(status: WorkloadStatus) -> dict[str, object]:
    return manifests.status(ShowStatus(TARGET, status))["status"]


def test_a_status_shows_only_what_is_known() -> None:
    status = shown(
        WorkloadStatus(plan=PlanQuality(gap="0.0000"), conditions=(Condition(type="Ready", reason="Fetching"),))
    )
    assert status["plan"] == {"gap": "0.0000"}
    assert not {"observed", "expected", "url", "modelName"} & status.keys()
    assert (status["replicas"], status["placements"]) == (0, [])
    assert status["conditions"] == [
        {"type": "Ready", "status": "Unknown", "reason": "Fetching", "observedGeneration": 0}
    ]  # fmt: skip


def test_a_number_is_known_though_it_is_0() -> None:
    assert shown(WorkloadStatus(expected=Expected(p99="38ms")))["expected"] == {
        "p99": "38ms", "watts": 0, "gramsCO2PerHour": 0,
    }  # fmt: skip
