"""Money by cause, so that a plan can say what it costs and why."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CostSplit:
    """What something costs, $/h by cause."""

    energy: float = 0.0
    carbon: float = 0.0
    payout: float = 0.0
    wear: float = 0.0
    network: float = 0.0
    opportunity: float = 0.0
    move: float = 0.0
    """Of bringing new replicas up, spread over their expected stay."""

    @property
    def total(self) -> float:
        """$/h."""
        return float(sum(getattr(self, name) for name in self.__slots__))

    def __add__(self, other: "CostSplit") -> "CostSplit":
        return CostSplit(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def times(self, factor: float) -> "CostSplit":
        """Every part multiplied by `factor`."""
        return CostSplit(*(getattr(self, name) * factor for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Running:
    """What something takes while it runs: money, power and carbon."""

    cost: CostSplit = CostSplit()
    watts: float = 0.0
    """At the plug or the datacenter's meter, above what would be used anyway."""
    grams: float = 0.0
    """CO2 per hour."""

    def __add__(self, other: "Running") -> "Running":
        return Running(self.cost + other.cost, self.watts + other.watts, self.grams + other.grams)

    def times(self, factor: float) -> "Running":
        """`factor` of it."""
        return Running(self.cost.times(factor), self.watts * factor, self.grams * factor)
