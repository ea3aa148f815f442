"""The bill at the price that a run paid is the run's own, and two runs cost the same at the break-even price."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.compare.comparison import Compared
from deploy.compare.electricity import break_even, cost_line, electricity_block
from deploy.compare.measure import Measured
from deploy.compare.variants import Variant
from deploy.settings.load import load_settings


def compared(name: str, usd: float | None, joules: float, tokens: float, **flags: Any) -> Compared:
    """A run of 100 s with that bill and that energy at the meter."""
    energy = {"facility": {"joules": joules}, "facility_joules_per_output_token": joules / tokens if tokens else None}
    document = {"energy": energy, "cost": {"usd": usd}, "simulated_s": 100.0}
    return Compared(Variant(name, load_settings(None, flags)), Measured(name, document, 1.0, 1), None)


CHEAP_POWER_HUNGRY = compared("hungry", 10.0, 3.6e8, 1e6)
DEAR_FRUGAL = compared("frugal", 20.0, 3.6e7, 1e6)


def test_at_the_tariff_of_the_run_the_bill_is_its_own() -> None:
    line = cost_line(CHEAP_POWER_HUNGRY)
    assert line is not None
    paid = CHEAP_POWER_HUNGRY.variant.settings.money.tariff.mean_usd_per_kwh(0.0, 100.0)
    assert line.usd(paid) == pytest.approx(10.0)


def test_two_runs_cost_the_same_at_the_break_even_price() -> None:
    one, other, price = (
        cost_line(CHEAP_POWER_HUNGRY),
        cost_line(DEAR_FRUGAL),
        break_even([CHEAP_POWER_HUNGRY, DEAR_FRUGAL]),
    )
    assert one is not None
    assert other is not None
    assert price is not None
    assert one.usd(price) == pytest.approx(other.usd(price))
    assert f"${price:,.4g}/kWh" in (electricity_block([CHEAP_POWER_HUNGRY, DEAR_FRUGAL]) or "")


def test_who_is_dearer_at_every_price_has_no_break_even() -> None:
    dear_and_hungry = compared("both", 40.0, 4e8, 1e6)
    assert break_even([dear_and_hungry, DEAR_FRUGAL]) is None
    assert "no price" in (electricity_block([dear_and_hungry, DEAR_FRUGAL]) or "")


def test_rent_no_tokens_and_no_bill_have_no_line() -> None:
    assert electricity_block([compared("rented", 10.0, 1e6, 1e6, price="rented=2")]) is None
    assert electricity_block([compared("none", None, 1e6, 1e6), compared("silent", 1.0, 1e6, 0)]) is None
