"""A power cap of the feeds, as a budget for the NPUs of instances."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from deploy.run.energy import facility_curves, npu_watts_under
from deploy.settings.run_config import RunConfig
from deploy.system.instance_physics import DecodePhysics, PrefillPhysics
from scheduler.core.guests.power_budgets import PowerCap
from scheduler.metrics.slo import Slo, parse_slo
from scheduler.policies.power import PoweredInstance
from scheduler.protocol.errors import ConfigError
from scheduler.sources.traces.rows import shorten
from sim_hw.clusters.supernode import Supernode
from sim_hw.instance.throttle import BudgetRange

TTFT_LIMIT_S: Final = 2.0
TPOT_LIMIT_S: Final = 0.05
"""What counts as slow where the run names no limit; assumed."""

Powered = Sequence[tuple[str, PrefillPhysics | DecodePhysics]]

_TEXT: Final = re.compile(r"(?P<number>\d{1,12}(\.\d{1,9})?)\s?(?P<unit>W|kW|MW)", re.ASCII)
_UNITS_W: Final = {"W": 1.0, "kW": 1e3, "MW": 1e6}


def cap_watts(text: str) -> float:
    """Watts of a cap such as 350kW. Raises `ConfigError`."""
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"power cap {shorten(text)}: cannot read it; write watts such as 350kW or 350000W")
    return float(match["number"]) * _UNITS_W[match["unit"]]


def power_cap(
    config: RunConfig,
    cluster: Supernode,
    num_supernodes: int,
    num_planned: int,
    prefill: Powered,
    decode: Powered,
) -> PowerCap:
    """What the cap of `config` leaves to instances of `num_planned` NPUs.

    Raises `ConfigError` for less than they need to work at all.
    """
    stages = [_registered(*one) for one in prefill], [_registered(*one) for one in decode]
    curves = facility_curves(config, cluster, num_supernodes, num_planned)
    cap_w, floor_w = cap_watts(config.power_cap), sum(one.floor_w for stage in stages for one in stage)
    budget_w = int(npu_watts_under(curves, cap_w) - curves.spare_npu_w)
    if budget_w < floor_w:
        least_w = curves.feed_w(floor_w + 1 + curves.spare_npu_w)
        raise ConfigError(
            f"power cap {config.power_cap}: {cap_w / 1e3:.1f} kW is below the {least_w / 1e3:.1f} kW that this plan "
            "draws at least; give more, or use a plan of fewer NPUs on a smaller cluster"
        )
    slo = parse_slo(config.slo) if config.slo else Slo()
    return PowerCap(budget_w, *stages, slo.ttft_s or TTFT_LIMIT_S, slo.tpot_s or TPOT_LIMIT_S)


def _registered(address: str, physics: PrefillPhysics | DecodePhysics) -> PoweredInstance:
    budgets: BudgetRange | None = physics.budgets
    assert budgets is not None, "under a cap every instance has them"
    return PoweredInstance(address, budgets.floor_w, budgets.peak_w)
