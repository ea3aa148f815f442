"""Watts, joules and dollars of a system, by part of the facility and by what its NPUs do.

NPUs report their joules. Of an instance's account those of idle time are what it draws with nothing to do for the time
in which no pass or step ran; the rest is its work. What else is drawn follows the power of the whole fleet, by the
curves of the facility. When workers report apart in time that power is known only up to the earliest of their last
accounts: `energy_account` settles it live, span by span, while `outcome.energy` sweeps a whole sorted log from its end
and never holds more than a part of it. Two algorithms, but one sum: a property test holds them to each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from scheduler.metrics.family import Family, Labels
from scheduler.metrics.layout import Layout
from scheduler.metrics.outcome.ended_run import EndedRun
from scheduler.metrics.outcome.energy import CostUse, energy_use, power_course, role_use
from scheduler.metrics.subject import SUBJECTS, Subject
from scheduler.metrics.subjects.energy_account import COST_SERIES, EnergyAccount, EnergyTotals, npu_phases

NPU: Final = "npu"
BUILDING: Final = "building"
ANY_PHASE: Final = "any"
"""Of parts that nobody has told apart by what the NPUs do."""


def part_series(layout: Layout) -> list[Labels]:
    """The part of each of `EnergyTotals.watts`."""
    return [(part,) for part in (NPU, *layout.curves.part_w, BUILDING)]


def energy_series(layout: Layout) -> list[Labels]:
    """Part and phase of each of `EnergyTotals.joules`."""
    parts = (*layout.curves.part_w, BUILDING)
    return [*((NPU, phase) for phase in npu_phases(layout)), *((part, ANY_PHASE) for part in parts)]


def _summary(run: EndedRun) -> Mapping[str, Any]:
    instances, info = run.collector.instances, run.info
    energy = energy_use(instances, run.usage_rows, run.usage, run.served, info.curves, info.places, run.fleet)
    cost = CostUse(None, None, None)
    if info.bill is not None:
        assert info.curves is not None, "who makes a bill knows them"
        curves, rows = info.curves, run.usage_rows if run.fleet is None else run.fleet.rows
        cost = info.bill(
            run.served,
            energy,
            role_use(instances, run.usage, run.there),
            lambda: power_course(rows, len(instances), curves, run.began_s),
        )
    return {"energy": energy, "cost": cost}


FAMILIES: Final = (
    Family(
        "supernode_power_watts", "gauge",
        "Power by part over the last stretch of at least a wall second, the building's own use a part of it. NPUs "
        "outside the plan are in it, and a fleet of several supernodes is taken as loaded alike.",
        lambda s: s[EnergyTotals].watts, ("part",), part_series,
    ),
    Family(
        "supernode_power_cap_watts", "gauge",
        "The power cap of the present run, at the feeds: of all parts but the building; 0 where there is none.",
        lambda s: (s[EnergyTotals].cap_w,),
    ),
    Family(
        "supernode_energy_joules_total", "counter",
        "Energy by part, that of NPUs by phase. Other parts follow when all instances have accounted for a time.",
        lambda s: s[EnergyTotals].joules, ("part", "phase"), energy_series,
    ),
    Family(
        "supernode_cost_seconds_total", "counter",
        "Time for which dollars are accounted for; it grows when all instances have accounted for a time.",
        lambda s: (s[EnergyTotals].settled_s,),
    ),
    Family(
        "supernode_cost_dollars_total", "counter",
        "Dollars for the time that the system is there and for its electricity. Prefill pools are the cost of input "
        "tokens, decode pools of output tokens, what belongs to neither is shared as their NPUs are.",
        lambda s: s[EnergyTotals].usd, ("side", "kind"), lambda _: COST_SERIES,
    ),
)  # fmt: skip

SUBJECTS.register("energy", Subject(EnergyTotals, EnergyAccount, FAMILIES, _summary))
