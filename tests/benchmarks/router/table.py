"""The results as JSON and as the tables of `docs/benchmarks.md`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Must:
    """One requirement and what was measured."""

    what: str
    measured: float
    bound: float
    at_least: bool = False
    """Else at most."""

    @property
    def holds(self) -> bool:
        """Whether the requirement is met."""
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    @property
    def line(self) -> str:
        """For the table."""
        sign = "at least" if self.at_least else "at most"
        verdict = "holds" if self.holds else f"missed by {abs(self.measured - self.bound):.3g}"
        return f"| {self.what} | {self.measured:,.4g} | {sign} {self.bound:,.4g} | {verdict} |"


@dataclass(frozen=True)
class Section:
    """One part of the benchmark."""

    name: str
    about: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    musts: Sequence[Must]
    figures: Mapping[str, object] = field(default_factory=dict)
    """Unrounded, for JSON."""


def as_markdown(section: Section) -> str:
    """A heading, a line on what was done, the table, and what must hold."""
    head = f"| {' | '.join(section.head)} |"
    rule = "|" + "---|" * len(section.head)
    rows = [f"| {' | '.join(row)} |" for row in section.rows]
    lines = [f"### {section.name}", "", section.about, "", head, rule, *rows]
    if section.musts:
        lines += ["", "| must | measured | bound | |", "|---|---|---|---|", *(must.line for must in section.musts)]
    return "\n".join(lines)


def as_json(section: Section) -> dict[str, object]:
    """Everything that the table says, unrounded."""
    musts = [
        {"what": must.what, "measured": must.measured, "bound": must.bound, "atLeast": must.at_least,
         "holds": must.holds}
        for must in section.musts
    ]  # fmt: skip
    return {"name": section.name, "figures": dict(section.figures), "musts": musts}
