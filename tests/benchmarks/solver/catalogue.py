"""The methods by the names of the table: which module, with which settings, and up to what size it is tried at all."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Method:
    """One line of the table."""

    module: str
    """In `benchmarks.solver.methods`."""
    what: str
    """What it is, in the words of the docs."""
    settings: Mapping[str, object] = field(default_factory=dict)
    most_arcs: float = float("inf")
    """Beyond it the method has never come to an answer within minutes, or needs more memory than this is worth."""
    least_demands: int = 1
    packages: tuple[str, ...] = ()
    """Requirements that contradict ours: the method runs in an environment of its own."""


_POP = {"mip": ("HiGHS in whole numbers", 1.5e6), "lp": ("HiGHS, relaxed, rounded down and filled", 3e6),
        "ours": ("ours", float("inf"))}  # fmt: skip

METHODS: Mapping[str, Method] = {
    "ours": Method("ours", "this solver"),
    "highs-simplex": Method("highs", "HiGHS, dual simplex, relaxation only", {"solver": "simplex"}, 3e6),
    "highs-ipm": Method("highs", "HiGHS, interior point, relaxation only", {"solver": "ipm"}, 3e6),
    "pdlp": Method("pdlp", "OR-Tools PDLP at 1e-4, relaxation only", {}, 3e6),
    "highs-mip": Method("highs", "HiGHS, branch and bound", {"solver": "mip"}, 1.5e6),
    "cp-sat": Method("cpsat", "OR-Tools CP-SAT, rows scaled to whole numbers", {}, 3e5),
    "min-cost-flow": Method("flow", "OR-Tools minimum cost flow, where the problem is one"),
    **{
        f"pop{parts}-{by}": Method("pop", f"POP, {parts} parts, by {what}", {"parts": parts, "by": by}, most,
                                    least_demands=2 * parts)
        for by, (what, most) in _POP.items()
        for parts in (4, 16, 64)
    },
    "dede": Method("dede", "DeDe, relaxation, rounded down and filled", {}, 2e4,
                   packages=("dede==0.1.6", "scipy<1.12", "setuptools<81")),
    "kube-least": Method("kube", "kube-scheduler, LeastAllocated", {"most_allocated": False}),
    "kube-most": Method("kube", "kube-scheduler, MostAllocated", {"most_allocated": True}),
    "price-greedy": Method("policies", "cheapest marginal cost for what it covers", {"policy": "price"}),
    "spread": Method("policies", "spread over regions, a quarter more, servers as fallback", {"policy": "spread"}),
    "datacenter": Method("policies", "all on servers", {"policy": "datacenter"}),
    "cars-first": Method("policies", "cheapest cars first, then servers", {"policy": "cars"}),
}  # fmt: skip
"""In the order of the table; `ours` first, because its bound is what all gaps are to."""
