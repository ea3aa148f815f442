"""A power cap of the feeds, as a budget for the NPUs of instances."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final

from deploy.settings.settings import Settings
from deploy.system.facility import npu_watts_under
from deploy.system.instance_physics import InstancePhysics
from deploy.system.instances import InstanceSpec, Role
from scheduler.core.guests.power_budgets import PowerCap
from scheduler.metrics.facility import FacilityCurves
from scheduler.metrics.slo import Slo
from scheduler.policies.power import PoweredInstance
from scheduler.protocol.errors import ConfigError
from sim_hw.chips.chip import Chip
from sim_hw.instance.throttle import BudgetRange

TTFT_LIMIT_S: Final = 2.0
TPOT_LIMIT_S: Final = 0.05
"""What counts as slow where the run names no limit; assumed."""

Powered = Sequence[PoweredInstance]


def power_cap(
    settings: Settings,
    curves: FacilityCurves,
    prefill: Powered,
    decode: Powered,
    aggregated: Powered = (),
    absent: frozenset[str] = frozenset(),
) -> PowerCap:
    """What the cap of `settings` leaves to instances of a fleet whose feeds draw as `curves` say; the `absent` are not
    there at first.

    Raises `ConfigError` for less than those that are need to work at all.
    """
    cap_w, slo, scaling = settings.power.cap_w or 0.0, settings.requests.slo or Slo(), settings.scaling
    stages = prefill, decode, aggregated
    every = [one for stage in stages for one in stage]
    planned_w = sum(one.empty_w if one.address in absent else one.floor_w for one in every)
    budget_w = int(npu_watts_under(curves, cap_w) - curves.spare_npu_w)
    if budget_w < planned_w:

        def feed_kw(npu_w: int) -> float:
            return curves.feed_w(npu_w + 1 + curves.spare_npu_w) / 1e3

        fewest = ""
        if scaling.is_on:
            fewest_w = sum(one.empty_w for one in every)
            for role, stage in zip(Role, stages, strict=True):
                rises_w = sorted(one.floor_w - one.empty_w for one in stage)
                fewest_w += sum(rises_w[: scaling.least.get(role, 1)])
            fewest = f" (its fewest instances draw {feed_kw(fewest_w):.1f} kW; a run begins with those of the plan)"
        raise ConfigError(
            f"power cap {cap_w / 1e3:g}kW: {cap_w / 1e3:.1f} kW is below the {feed_kw(planned_w):.1f} kW that this "
            f"plan draws at least{fewest}; give more, or use a plan of fewer NPUs on a smaller cluster"
        )
    limits = slo.ttft_s or TTFT_LIMIT_S, slo.tpot_s or TPOT_LIMIT_S
    return PowerCap(budget_w, prefill, decode, *limits, aggregated, absent)


def registered(spec: InstanceSpec, physics: InstancePhysics, chip: Chip) -> PoweredInstance:
    """An instance as it tells of itself."""
    of_role = {Role.PREFILL: physics.prefill, Role.DECODE: physics.decode, Role.AGGREGATED: physics.aggregated}
    budgets: BudgetRange | None = of_role[spec.role](spec.num_npus).budgets
    assert budgets is not None, "under a cap every instance has them"
    empty_w = ceil(spec.num_npus * chip.idle_w.value)
    return PoweredInstance(spec.address, budgets.floor_w, budgets.peak_w, min(empty_w, budgets.floor_w))
