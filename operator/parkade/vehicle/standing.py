"""Each term of the contract beside what is so: what an owner looks at to see how far the car is from its limits."""

from typing import Any, Final

from parkade.vehicle import contract as contracts
from parkade.vehicle import terms
from parkade.vehicle.agent import Agent
from parkade.vehicle.books import shown_day
from parkade.vehicle.reasons import Reason

REFUSED: Final = {
    "requirePluggedIn": (Reason.NotPluggedIn,),
    "minStateOfCharge": (Reason.ChargeTooLow,),
    "maxRangeLossPerDay": (Reason.RangeSpent,),
    "links": (Reason.LinkNotAllowed,),
    "dataCapPerDay": (Reason.DataCapReached,),
    "quietHours": (Reason.QuietHours,),
    "readyBefore": (Reason.DepartingSoon,),
    "netPositive": (),
    "energyPrice": (Reason.PriceUnknown, Reason.PriceTooLow),
    "minCelsius": (Reason.TooCold,),
    "maxCelsius": (Reason.TooHot,),
}
"""The reasons that each term is refused with."""


def standing(agent: Agent) -> list[dict[str, Any]]:
    """Return a row for each term: its limit (null: none), whose it is, what is so now, and whether it holds.

    `by` is "owner" where the owner's own term is the tighter one; else "pool", which here means all that others fixed.
    """
    floor, own, day = terms.shown(agent.floor), terms.shown(agent.owner.terms), shown_day(agent.books)
    both, signals = terms.shown(agent.contract), agent.signals
    look = agent.books.clock.look()
    against = {r.reason for r in contracts.refusals(agent.contract, signals, False, look, agent.spent())}
    leaves = None if signals.departs_at is None else round(max(0.0, signals.departs_at - look.elapsed))
    now = {
        "requirePluggedIn": signals.plugged_in,
        "minStateOfCharge": signals.state_of_charge,
        "maxRangeLossPerDay": day["kmModelled"],
        "links": str(signals.link),
        "dataCapPerDay": day["bytes"],
        "quietHours": str(signals.state),
        "readyBefore": leaves,
        "netPositive": agent.desired.payout,
        "energyPrice": agent.desired.energy_price,
        "minCelsius": signals.celsius,
        "maxCelsius": signals.celsius,
    }
    return [
        {
            "term": name,
            "limit": both.get(name),
            "by": "owner" if name in own and own[name] == both.get(name) != floor.get(name) else "pool",
            "now": now[name],
            "holds": not against.intersection(reasons),
        }
        for name, reasons in REFUSED.items()
    ]
