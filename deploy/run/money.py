"""The price of the hardware, and the bill that a run comes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from deploy.settings.price import PriceTerms
from scheduler.metrics.facility import Prices
from scheduler.metrics.outcome.energy import (
    Bill,
    CostUse,
    EnergyUse,
    PlanCost,
    PlanEnergy,
    PowerCourse,
    RoleUse,
    Served,
)
from scheduler.protocol.errors import ConfigError
from sim_hw.chips.sheet import rents_of
from sim_hw.clusters.supernode import Supernode
from sim_hw.cost.prices import HOUR_S, HardwarePrice, bought, rented
from sim_hw.cost.run_cost import PoolUsage, RunCost, RunUsage, run_cost
from sim_hw.cost.tariffs import DAY_S, JOULES_PER_KWH, Tariff

# Blueprints are known to who calls.
if TYPE_CHECKING:
    from deploy.system.blueprint import Blueprint


CostOf = Callable[[int, float, HardwarePrice], RunCost]
"""NPUs, joules at the meter and the price of the hardware to what that comes to."""


def hardware_price(
    price: PriceTerms, cluster: Supernode, num_supernodes: int, rented_npus: int | None = None
) -> HardwarePrice:
    """Of all supernodes of the plan or, where NPUs are rented, of `rented_npus` (None: of all).

    `ConfigError` for a contract that nobody published for the chip.
    """
    num_npus = num_supernodes * cluster.num_npus if rented_npus is None else rented_npus
    if price.is_bought:
        return bought(num_supernodes * (cluster.price_usd.value if price.usd is None else price.usd))
    if price.usd is not None:
        return rented(price.usd, num_npus)
    rents = rents_of(cluster.chip)
    if price.contract not in rents:
        known = ", ".join(rents) or "none"
        raise ConfigError(
            f"price {price.contract}: not published for {cluster.chip.name} (known: {known}); write rented=USD"
        )
    return rented(rents[price.contract].value, num_npus)


class FleetPrice(Struct, frozen=True):
    """Of supernodes that may differ, together."""

    whole: HardwarePrice
    npu_shares: Mapping[str, float]
    """By role, the share of the price that one of its NPUs comes to, the spare ones apart."""
    weights: Mapping[str, float]
    """By role, the price of one of its NPUs over the mean of those of the plan; a spare one is paid by those who are in
    its supernode."""


def fleet_price(blueprint: Blueprint) -> FleetPrice:
    """Each supernode at the price of its kind; where NPUs are rented, those of the plan. `ConfigError` as above."""
    price, plan, supernodes = blueprint.settings.money.price, blueprint.plan, blueprint.supernodes
    if not plan.has_several_clusters:
        return FleetPrice(hardware_price(price, blueprint.cluster, len(supernodes), plan.num_npus), {}, {})
    planned = [one.num_npus for one in plan.supernodes]
    each = [hardware_price(price, one, 1, count) for one, count in zip(supernodes, planned, strict=True)]
    usd_per_s = sum(one.usd_per_s for one in each)
    paid: dict[str, list[float]] = {}
    own: dict[str, list[float]] = {}
    specs = [spec for spec in blueprint.instances if spec.address not in blueprint.absent]
    npus = [(spec.role.value, spec.supernode) for spec in specs for _ in range(spec.num_npus)]
    for role, at in npus:
        paid.setdefault(role, []).append(each[at].usd_per_s / planned[at])
        own.setdefault(role, []).append(each[at].usd_per_s / supernodes[at].num_npus)
    mean = sum(map(sum, paid.values())) / len(npus)
    return FleetPrice(
        replace(each[0], usd_per_s=usd_per_s),
        {role: sum(rates) / len(rates) / usd_per_s if usd_per_s else 0.0 for role, rates in own.items()},
        {role: sum(rates) / len(rates) / mean if mean else 1.0 for role, rates in paid.items()},
    )


def bill_of(blueprint: Blueprint) -> Bill:
    """What a run of this blueprint costs, once it is known what it came to."""
    money, planned = blueprint.settings.money, blueprint.plan.num_npus
    fleet = fleet_price(blueprint)
    price, system_npus = fleet.whole, sum(one.num_npus for one in blueprint.supernodes)
    tariff, pue = money.tariff, money.site.pue.value

    def bill(
        served: Served, energy: EnergyUse, roles: Mapping[str, RoleUse], course: Callable[[], PowerCourse]
    ) -> CostUse:
        if energy.facility is None:
            return CostUse(None, None, None)
        # At a flat price it does not matter when the energy is drawn.
        is_flat = len(tariff.bands) == 1
        usd_per_joule = tariff.usd(1.0, 0.0, served.span_s) if is_flat else mean_usd_per_joule(tariff, course())
        weighted = {role: use.mean_npus * fleet.weights.get(role, 1.0) for role, use in roles.items()}
        pools = [
            PoolUsage(
                weighted[role],
                usd_per_joule * pue * use.joules,
                _SIDES.get(role, served.mixed_share),
            )
            for role, use in roles.items()
        ]

        # Where instances come and go, NPUs are rented as long as they are there.
        pooled = sum(weighted.values())
        paid = replace(price, usd_per_s=price.usd_per_s * (pooled / planned)) if price.includes_energy else price

        def cost_of(system_npus: float, joules: float, hardware: HardwarePrice) -> RunCost:
            other_usd = usd_per_joule * (joules - pue * sum(role.joules for role in roles.values()))
            tokens = served.prompt_tokens, served.output_tokens
            return run_cost(RunUsage(served.span_s, *tokens, pools, system_npus, other_usd), hardware)

        # Dear NPUs count for more, and may so come to more than there are.
        whole = cost_of(max(system_npus, pooled), energy.facility.joules, paid)
        return CostUse(
            *_sides(whole), _plan_cost(paid, _plan_share(fleet, energy, roles), energy.plan, pooled, cost_of)
        )

    return bill


def _plan_share(fleet: FleetPrice, energy: EnergyUse, roles: Mapping[str, RoleUse]) -> float:
    """Of the price, what the NPUs of instances come to; where all are alike, by their number."""
    if fleet.npu_shares:
        return sum(use.mean_npus * fleet.npu_shares.get(role, 0.0) for role, use in roles.items())
    return energy.plan.npu_share if energy.plan else 1.0


def _plan_cost(
    price: HardwarePrice,
    share: float,
    energy: PlanEnergy | None,
    pooled: float,
    cost_of: Callable[[float, float, HardwarePrice], RunCost],
) -> PlanCost | None:
    if energy is None:
        return None
    hardware = price if price.includes_energy else replace(price, usd_per_s=share * price.usd_per_s)
    return PlanCost(*_sides(cost_of(pooled, energy.joules, hardware)))


def _sides(cost: RunCost) -> tuple[float, float | None, float | None]:
    return cost.usd, cost.input.usd_per_million_tokens, cost.output.usd_per_million_tokens


def live_prices(blueprint: Blueprint) -> Prices:
    """The same bill for a system that goes on: electricity costs what it does at the time of the day."""
    money, fleet = blueprint.settings.money, fleet_price(blueprint)
    price = fleet.whole
    bands = [(band.from_hour * HOUR_S, band.usd_per_kwh.value / JOULES_PER_KWH) for band in money.tariff.bands]
    if bands[0][0]:  # the last band runs on past midnight
        bands.insert(0, (0.0, bands[-1][1]))
    # As they are paid for: an NPU of a dear supernode counts for more.
    npus = [(spec.role.value, spec.num_npus * fleet.weights.get(spec.role.value, 1.0)) for spec in blueprint.instances]
    input_npus = sum(weight * _SIDES.get(role, _UNKNOWN_SIDE) for role, weight in npus)
    all_npus = sum(weight for _, weight in npus)
    billed = 0.0 if price.includes_energy else 1.0
    return Prices(
        price.usd_per_s,
        tuple((from_s, billed * usd_per_joule) for from_s, usd_per_joule in bands),
        input_npus / all_npus if all_npus else 0.5,
    )


def mean_usd_per_joule(tariff: Tariff, course: PowerCourse) -> float:
    """Of a run that begins at midnight: what is drawn while it is dear counts as dear."""
    starts_s = np.concatenate(([0.0], course.ends_s[:-1]))
    joules = course.watts * (course.ends_s - starts_s)
    if not joules.sum():
        return tariff.usd(1.0)
    last_s = float(course.ends_s[-1])
    changes_s = [t for day in range(int(last_s // DAY_S) + 1) for t in _changes_s(tariff, day) if 0 < t < last_s]
    knots_s = np.array([0.0, *changes_s, last_s])
    # Dollars for a watt drawn from the beginning until each change of price.
    paid = np.array([tariff.mean_usd_per_kwh(0.0, t) * t for t in knots_s.tolist()]) / JOULES_PER_KWH
    dollars = course.watts * (np.interp(course.ends_s, knots_s, paid) - np.interp(starts_s, knots_s, paid))
    return float(dollars.sum() / joules.sum())


def _changes_s(tariff: Tariff, day: int) -> list[float]:
    return [day * DAY_S, *(day * DAY_S + band.from_hour * 3600 for band in tariff.bands if band.from_hour)]


_SIDES: Final = {"prefill": 1.0, "decode": 0.0}
"""Share of a pool's cost that is of input tokens, by role; an aggregated pool is divided as it was busy."""

_UNKNOWN_SIDE: Final = 0.5
"""Of an aggregated pool of which nobody knows what it did."""
