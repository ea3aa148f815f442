"""A power cap of the feeds, as a budget for the NPUs of instances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deploy.system.facility import npu_watts_under
from deploy.system.instance_physics import DecodePhysics, PrefillPhysics
from scheduler.core.guests.power_budgets import PowerCap
from scheduler.metrics.facility import FacilityCurves
from scheduler.metrics.slo import Slo
from scheduler.policies.power import PoweredInstance
from scheduler.protocol.errors import ConfigError
from sim_hw.instance.throttle import BudgetRange

TTFT_LIMIT_S: Final = 2.0
TPOT_LIMIT_S: Final = 0.05
"""What counts as slow where the run names no limit; assumed."""

Powered = Sequence[tuple[str, PrefillPhysics | DecodePhysics]]


def power_cap(cap_w: float, slo: Slo, curves: FacilityCurves, prefill: Powered, decode: Powered) -> PowerCap:
    """What a cap leaves to instances of a fleet whose feeds draw as `curves` say.

    Raises `ConfigError` for less than they need to work at all.
    """
    stages = [_registered(*one) for one in prefill], [_registered(*one) for one in decode]
    floor_w = sum(one.floor_w for stage in stages for one in stage)
    budget_w = int(npu_watts_under(curves, cap_w) - curves.spare_npu_w)
    if budget_w < floor_w:
        least_w = curves.feed_w(floor_w + 1 + curves.spare_npu_w)
        raise ConfigError(
            f"power cap {cap_w / 1e3:g}kW: {cap_w / 1e3:.1f} kW is below the {least_w / 1e3:.1f} kW that this plan "
            "draws at least; give more, or use a plan of fewer NPUs on a smaller cluster"
        )
    return PowerCap(budget_w, *stages, slo.ttft_s or TTFT_LIMIT_S, slo.tpot_s or TPOT_LIMIT_S)


def _registered(address: str, physics: PrefillPhysics | DecodePhysics) -> PoweredInstance:
    budgets: BudgetRange | None = physics.budgets
    assert budgets is not None, "under a cap every instance has them"
    return PoweredInstance(address, budgets.floor_w, budgets.peak_w)
