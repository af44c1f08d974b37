"""A plan as text for people."""

from collections.abc import Iterator, Sequence
from typing import Final

from parkade.plan.explain import Flip
from parkade.plan.plan import Plan, WorkloadPlan
from parkade.plan.prices import TINY, Explanation
from parkade.problem.costs import CostSplit


def render(plan: Plan, flips: Sequence[Flip], notes: Sequence[str] = ()) -> str:
    """Places, costs by cause, totals, reasons, break-even prices, and what is missing."""
    blocks = [_places(plan), _costs(plan), _totals(plan), _why(plan)]
    if flips:
        lines = [f"  {entry.workload}: {entry.message}" for entry in flips]
        blocks.append("\n".join(["When the other tier would win:", *lines]))
    problems = [*_problems(plan), *(f"  {note}" for note in notes)]
    if problems:
        blocks.append("\n".join(["Look at:", *problems]))
    return "\n\n".join(blocks) + "\n"


MOST_PLACES: Final = 12
"""Places that an explanation lists; the rest are dearer."""


def render_explanation(found: Explanation) -> str:
    """Wants, the price of each place, what binds, and the best rejected place with its break-even."""
    shown = found.places[:MOST_PLACES]
    rows = [
        [it.place, str(it.replicas), *(f"{part:.4f}" for part in (it.cost, it.own, it.units, it.limits)),
         f"{found.for_the_same(it):.4f}" if it.worth > TINY else "-", f"{it.used} of {it.offered}"]
        for it in shown
    ]  # fmt: skip
    header = ["PLACE", "REPLICAS", "$/H EACH", "OWN", "UNITS", "LIMITS", "FOR AS MUCH", "UNITS IN USE"]
    blocks = ["\n".join([f"{found.demand} wants:", *_wants(found)]), aligned(header, rows, right=(1, 2, 3, 4, 5, 6, 7))]
    if len(found.places) > len(shown):
        blocks[-1] += f"\n(and {len(found.places) - len(shown)} places that are dearer)"
    blocks.append("\n".join(["What decides:", *_binding(found), *_rejected(found)]))
    return "\n\n".join(blocks) + "\n"


def render_break_evens(flips: Sequence[Flip]) -> str:
    """Prices at which planning again moves the workload."""
    lines = [f"  {entry.message}" for entry in flips] or ["  it runs nowhere"]
    return "\n".join(["", "When it would move, planned again at other prices:", *lines]) + "\n"


def _wants(found: Explanation) -> Iterator[str]:
    # Where replicas are worth more than they cost, no more of them were of use: what they cost is what counts.
    paid = min(1.0, max((it.relative for it in found.places if it.replicas), default=1.0))
    for want in found.wants:
        met = f"{want.quantity - want.short:g} of {want.quantity:g}"
        if want.short > 0.0:
            says = f"short by {want.short:g}, because each costs more than {want.short_cost:.4g} $/h"
        elif want.price > TINY:
            says = f"decides, at {paid * want.price:.4g} $/h each"
        else:
            says = "met by what the other wants need"
        yield f"  {want.id}: {met}; {says}"


def _binding(found: Explanation) -> Iterator[str]:
    full = [it for it in found.places if it.scarcity > TINY]
    for place in full[:MOST_PLACES]:
        yield f"  {place.place} is full; one more unit there would save {place.scarcity:.4g} $/h beyond its own cost"
    for limit in found.limits:
        yield f"  the limit {limit.id} of {limit.bound:g} is reached; one more would save {limit.price:.4g} $/h"
    if not full and not found.limits:
        yield "  no place is full and no limit is reached: the cheapest way to meet the wants has won"


def _rejected(found: Explanation) -> Iterator[str]:
    chosen, other, margins = found.chosen, found.rejected, found.margins
    if other is None:
        yield "  no other place may run it"
    elif chosen is None or margins is None:
        yield f"  the best place not used is {other.place}, at {other.cost:.4f} $/h a replica"
    elif margins[0] <= 0.0:
        yield f"  {other.place} would be as good by the prices; whole replicas and units decided for {chosen.place}"
    else:
        yield (
            f"  the best place not used is {other.place}: it would be as good if a unit cost {margins[1]:.4f} $/h "
            f"less, or if a unit of {chosen.place} cost {margins[0]:.4f} $/h more"
        )


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Columns as wide as their widest cell; those numbered in `right` are flush right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    ]
    return "\n".join(lines)


def _places(plan: Plan) -> str:
    rows = []
    for part in plan.workloads:
        first = f"{part.expected.p99 * 1000:.0f}ms" if part.expected.p99 else "-"
        for number, placement in enumerate(part.placements):
            rows.append(
                [
                    part.workload,
                    placement.place,
                    placement.tier,
                    str(placement.replicas),
                    f"{placement.share} %",
                    str(placement.reason),
                    "" if number else first,
                    "" if number else f"{part.cost.total:.3f}",
                ]
            )
        if not part.placements:
            rows.append([part.workload, "-", "-", "0", "-", _why_nowhere(part), "-", "-"])
    header = ["WORKLOAD", "PLACE", "TIER", "REPLICAS", "SHARE", "REASON", "P99", "$/H"]
    return aligned(header, rows, right=(3, 4, 6, 7))


def _why_nowhere(part: WorkloadPlan) -> str:
    if part.left_out is not None:
        return str(part.left_out.reason)
    return str(part.shortfalls[0].reason) if part.shortfalls else "-"


def _costs(plan: Plan) -> str:
    names = tuple(CostSplit.__slots__)
    rows = [_cost_row(part.workload, part.cost, names) for part in plan.workloads if part.placements]
    rows.append(_cost_row("total", plan.cost, names))
    header = ["$/H BY CAUSE", *(name.upper() for name in names), "TOTAL"]
    return aligned(header, rows, right=tuple(range(1, len(header))))


def _cost_row(name: str, cost: CostSplit, names: Sequence[str]) -> list[str]:
    return [name, *(f"{getattr(cost, part):.3f}" for part in names), f"{cost.total:.3f}"]


def _totals(plan: Plan) -> str:
    expected, proof = plan.expected, plan.certificate
    return (
        f"{expected.cost_per_hour:.3f} $/h, {expected.watts:.0f} W, {expected.grams_co2_per_hour:.0f} gCO2/h\n"
        f"gap {proof.gap:.2%} before packing, {proof.packed_gap:.2%} after "
        f"({proof.status}, bound {proof.bound:.3f} of {proof.objective:.3f} $/h, {proof.rounds} solve"
        f"{'s' if proof.rounds > 1 else ''})"
    )


def _why(plan: Plan) -> str:
    lines = [
        f"  {part.workload} at {placement.place}: {placement.message}"
        for part in plan.workloads
        for placement in part.placements
    ]
    return "\n".join(["Why:", *(lines or ["  nothing is placed"])])


def _problems(plan: Plan) -> Iterator[str]:
    for part in plan.workloads:
        if part.left_out is not None:
            yield f"  {part.workload}: {part.left_out.reason}: {part.left_out.message}"
        for shortfall in part.shortfalls:
            yield f"  {part.workload}: {shortfall.cover}: {shortfall.reason}: {shortfall.message}"
        for refusal in part.refusals:
            yield f"  {part.workload} not at {refusal.place}: {refusal.reason}: {refusal.message}"
