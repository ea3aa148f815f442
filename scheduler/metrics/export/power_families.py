"""Families of power, energy and money, with all that feeds the NPUs; part of the catalogue in `families`."""

from __future__ import annotations

from typing import Final

from scheduler.metrics.export.family import AnyFamily, Family
from scheduler.metrics.live.energy_seen import COST_SERIES, energy_series, part_series

POWER_FAMILIES: Final[tuple[AnyFamily, ...]] = (
    Family(
        "supernode_power_watts", "gauge",
        "Power by part over the last stretch of at least a wall second, the building's own use a part of it. NPUs "
        "outside the plan are in it, and a fleet of several supernodes is taken as loaded alike.",
        lambda s: s.energy.watts, ("part",), lambda layout: part_series(layout.curves),
    ),
    Family(
        "supernode_power_cap_watts", "gauge",
        "The power cap of the present run, at the feeds: of all parts but the building; 0 where there is none.",
        lambda s: (s.energy.cap_w,),
    ),
    Family(
        "supernode_energy_joules_total", "counter",
        "Energy by part, that of NPUs by phase. Other parts follow when all instances have accounted for a time.",
        lambda s: s.energy.joules, ("part", "phase"), lambda layout: energy_series(layout.curves),
    ),
    Family(
        "supernode_cost_dollars_total", "counter",
        "Dollars for the time that the system is there and for its electricity. Prefill pools are the cost of input "
        "tokens, decode pools of output tokens, what belongs to neither is shared as their NPUs are.",
        lambda s: s.energy.usd, ("side", "kind"), lambda _: COST_SERIES,
    ),
)  # fmt: skip
"""In the order of exposition."""
