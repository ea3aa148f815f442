"""What a run may name as site, tariff and price, and the bill that comes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deploy.run.money import bill_of, hardware_price, live_prices, mean_usd_per_joule
from deploy.settings.load import load_settings
from deploy.system.blueprint import Blueprint
from scheduler.metrics.outcome.energy import CostUse, EnergyUse, MeterUse, PlanEnergy, PowerCourse, RoleUse, Served
from scheduler.protocol.errors import ConfigError
from sim_hw.cost.prices import YEAR_S
from sim_hw.cost.tariffs import JOULES_PER_KWH, find_tariff

HOUR_S = 3600.0


def bill(**settings: Any) -> CostUse:
    """Of an hour in which the site drew 3.6 GJ (a thousand kWh), of which prefill NPUs 900 MJ and decode NPUs none."""
    blueprint = Blueprint(load_settings(None, {"pue": 1.0, **settings}), 512)
    site = MeterUse(3.6e9, 1e6, 1e6)
    share = sum(spec.num_npus for spec in blueprint.instances) / blueprint.cluster.num_npus
    plan = PlanEnergy(share, 9e8 + share * 2.7e9, None)
    energy = EnergyUse("npu", 9e8, None, None, 0.0, site, site, plan=plan)
    course = PowerCourse(np.array([HOUR_S]), np.array([1e6]))
    npus = {role: sum(s.num_npus for s in blueprint.instances if s.role == role) for role in ("prefill", "decode")}
    roles = {"prefill": RoleUse(9e8, npus["prefill"]), "decode": RoleUse(0.0, npus["decode"])}
    return bill_of(blueprint)(Served(10, 10**6, 10**6, HOUR_S), energy, roles, lambda: course)


def test_a_bought_supernode_costs_its_share_of_four_years_and_its_electricity() -> None:
    capital_usd = 8.2e6 / (4 * YEAR_S) * HOUR_S
    found = bill()
    assert found.usd == pytest.approx(capital_usd + 88.0)
    # 224 of 384 NPUs do prefill: that much of what belongs to no pool is theirs, and all of their own.
    input_usd = 224 / 384 * (capital_usd + 66.0) + 22.0
    assert found.usd_per_million_input_tokens == pytest.approx(input_usd)
    assert found.usd_per_million_output_tokens == pytest.approx(capital_usd + 88.0 - input_usd)


SMALL = {"plan": "2x16p+1x32d", "cache": "none"}


def test_rent_follows_the_plan() -> None:
    assert bill(price="rented=2", **SMALL).usd == pytest.approx(2 * 64)
    assert bill(price="rented=2", plan="14x16p+1x160d+48c").usd == pytest.approx(2 * 384)
    found = bill(price="rented=2", **SMALL)
    assert found.plan is not None
    assert (found.plan.usd, found.plan.usd_per_million_output_tokens) == (
        found.usd,
        found.usd_per_million_output_tokens,
    )
    prices = live_prices(Blueprint(load_settings(None, {"price": "rented=2", **SMALL}), 512))
    assert prices.capital_usd_per_s * HOUR_S == pytest.approx(2 * 64)


def test_of_bought_hardware_the_plan_pays_its_share_beside_the_whole() -> None:
    found = bill(price="bought=8.2M", **SMALL)
    capital_usd = 8.2e6 / (4 * YEAR_S) * HOUR_S
    assert found.usd == pytest.approx(capital_usd + 88.0)  # the whole, as ever
    assert found.plan is not None
    # A sixth of the hardware; 900 MJ of its own NPUs and a sixth of the other 2.7 GJ: 375 kWh at 8.8 cents.
    assert found.plan.usd == pytest.approx(capital_usd / 6 + 375 * 0.088)
    # Two of its four parts do prefill: half of what belongs to no pool, and all of their own 250 kWh.
    assert found.plan.usd_per_million_input_tokens == pytest.approx((capital_usd / 6 + 125 * 0.088) / 2 + 250 * 0.088)
    whole = bill(plan="14x16p+1x160d+48c")
    assert whole.plan is not None
    assert whole.plan.usd == pytest.approx(whole.usd)


@pytest.mark.parametrize("settings", [{}, {"site": "us-texas", "price": "bought=1e6"}, {"price": "rented=2"}])
def test_what_a_system_costs_that_goes_on_is_what_a_run_costs(settings: dict[str, Any]) -> None:
    prices = live_prices(Blueprint(load_settings(None, {"pue": 1.0, **settings}), 512))
    found, usd_per_j = bill(**settings), prices.usd_per_joule(0.0)
    capital_usd, energy_usd = prices.capital_usd_per_s * HOUR_S, usd_per_j * 3.6e9
    assert found.usd == pytest.approx(capital_usd + energy_usd)
    input_usd = prices.input_share * (capital_usd + usd_per_j * 2.7e9) + usd_per_j * 9e8
    assert found.usd_per_million_input_tokens == pytest.approx(input_usd)


def test_electricity_by_the_time_of_the_day_is_so_live() -> None:
    tariff, names = find_tariff("china-average-time-of-use"), {"tariff": "china-average-time-of-use"}
    prices = live_prices(Blueprint(load_settings(None, names), 512))
    for hour in (0, 7, 8, 13, 15, 23, 30):
        expected = tariff.usd_per_kwh_at(hour * HOUR_S) / JOULES_PER_KWH
        assert prices.usd_per_joule(hour * HOUR_S) == pytest.approx(expected)


def test_prices_and_tariffs_are_as_named() -> None:
    assert bill(price="bought=0", site="china-west").usd == pytest.approx(56.0)
    assert bill(price="bought=0", tariff="us-texas").usd == pytest.approx(66.0)
    assert bill(price="bought=0", tariff="china-average-time-of-use").usd == pytest.approx(44.0)  # by night
    assert bill(price="rented=2").usd == pytest.approx(768.0)
    blueprint = Blueprint(load_settings(None, {"cluster": "h800-cluster", "price": "deepseek"}), 512)
    num_npus = blueprint.cluster.num_npus
    assert hardware_price(blueprint.settings.money.price, blueprint.cluster, 1).usd(HOUR_S) == pytest.approx(
        2.0 * num_npus
    )


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"site": "mars"}, "--site"),
        ({"pue": 0.9}, "--pue: 0.9 is out of range; give a number from 1 to 10"),
        ({"tariff": "free"}, "--tariff"),
        ({"price": "bought=much"}, "--price: cannot read 'bought=much'; write"),
        ({"price": "rented=-1"}, "--price"),
    ],
)
def test_what_is_not_known_is_one_line(setting: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(None, setting)
    assert str(caught.value).startswith(named)


def test_energy_costs_what_it_costs_when_it_is_drawn() -> None:
    tariff = find_tariff("china-average-time-of-use")
    # One MW in each hour in turn, over three days; by hand from the bands.
    for hour in range(72):
        ends_s = np.array([hour * HOUR_S, (hour + 1) * HOUR_S, 72 * HOUR_S])
        course = PowerCourse(ends_s, np.array([0.0, 1e6, 0.0]))
        by_hand = tariff.usd_per_kwh_at((hour + 0.5) * HOUR_S) / JOULES_PER_KWH
        assert mean_usd_per_joule(tariff, course) == pytest.approx(by_hand)
    # Evenly drawn, or all at one price: as the tariff itself says.
    even = PowerCourse(np.array([60 * HOUR_S]), np.array([5.0]))
    assert mean_usd_per_joule(tariff, even) == pytest.approx(tariff.usd(1.0, 0.0, 60 * HOUR_S))


def test_a_contract_that_nobody_published_for_the_chip_is_refused() -> None:
    blueprint = Blueprint(load_settings(None, {"price": "neocloud"}), 512)
    with pytest.raises(ConfigError, match="not published for ascend-910c"):
        bill_of(blueprint)
