"""Names of metrics and of log fields; the only room that knows Prometheus and the shape of a log line.

It decides nothing and keeps no state but the counters. No vehicle id, owner or payload ever becomes a label or a field.
"""

from parkade.telemetry.logs import configure_logs, logfmt
from parkade.telemetry.metrics import EnergyFigures, Metrics, PlanFigures, WorkloadFigures

__all__ = ["EnergyFigures", "Metrics", "PlanFigures", "WorkloadFigures", "configure_logs", "logfmt"]
