"""Tariffs: the mean over a span is the integral over it, and days repeat."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.cost.tariffs import DAY_S, TARIFFS, Band, Tariff, find_tariff, flat
from sim_hw.errors import PriceError, UnknownNameError
from sim_hw.figure import Confidence, Figure

BY_TIME = find_tariff("china-average-time-of-use")
SPANS = st.floats(0, 3 * DAY_S)


def price(dollars: float) -> Figure:
    """A made-up price."""
    return Figure(dollars, "USD/kWh", "a test", Confidence.ESTIMATE)


@given(begin=SPANS, first=st.floats(1, DAY_S), second=st.floats(1, DAY_S))
def test_spans_add_up(begin: float, first: float, second: float) -> None:
    whole = BY_TIME.mean_usd_per_kwh(begin, first + second) * (first + second)
    parts = BY_TIME.mean_usd_per_kwh(begin, first) * first + BY_TIME.mean_usd_per_kwh(begin + first, second) * second
    assert whole == pytest.approx(parts, rel=1e-6)


@given(begin=SPANS)
def test_a_day_costs_the_average_whenever_it_begins(begin: float) -> None:
    assert BY_TIME.mean_usd_per_kwh(begin, DAY_S) == pytest.approx(0.088)
    assert find_tariff("china-average").mean_usd_per_kwh(begin, 12_345) == pytest.approx(0.088)


@pytest.mark.parametrize(
    ("hour", "factor"), [(0, 0.5), (7.99, 0.5), (8, 1), (14, 1.5), (21.9, 1.5), (22, 1), (24, 0.5)]
)
def test_bands_begin_at_their_hour(hour: float, factor: float) -> None:
    assert BY_TIME.usd_per_kwh_at(hour * 3600) == pytest.approx(factor * 0.088)


def test_the_last_band_runs_past_midnight() -> None:
    tariff = Tariff("mine", (Band(6, price(0.2)), Band(20, price(0.1))))
    assert tariff.usd_per_kwh_at(3 * 3600) == 0.1
    assert tariff.mean_usd_per_kwh(18 * 3600, 12 * 3600) == pytest.approx((2 * 0.2 + 10 * 0.1) / 12)


@given(joules=st.floats(0, 1e12))
def test_dollars_are_linear_in_energy(joules: float) -> None:
    assert flat("mine", price(0.1)).usd(joules) == pytest.approx(joules / 3.6e6 * 0.1)


def test_every_tariff_is_found_by_name() -> None:
    assert [find_tariff(one.name) for one in TARIFFS] == list(TARIFFS)
    with pytest.raises(UnknownNameError, match="did you mean us-texas"):
        find_tariff("texas")


@pytest.mark.parametrize(
    "bands", [(), (Band(8, price(1)), Band(8, price(2))), (Band(24, price(1)),), (Band(0, price(-1)),)]
)
def test_impossible_tariffs_are_refused(bands: tuple[Band, ...]) -> None:
    with pytest.raises(PriceError, match="give"):
        Tariff("mine", bands)
