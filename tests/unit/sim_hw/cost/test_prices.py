"""Hardware by time: a life's seconds cost the whole price."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.gb200_nvl72 import GB200_NVL72
from sim_hw.cost.prices import YEAR_S, bought, rented
from sim_hw.errors import PriceError

DOLLARS = st.floats(0, 1e9)


@given(price=DOLLARS, years=st.floats(0.1, 20), share=st.floats(0, 1))
def test_capital_is_a_straight_line(price: float, years: float, share: float) -> None:
    assert bought(price, years).usd(share * years * YEAR_S) == pytest.approx(share * price)


def test_a_chip_hour_costs_what_was_derived_elsewhere() -> None:
    # Four years at full use: 0.61 and, at 3.1 M USD, 1.23 USD an hour and NPU.
    assert bought(CLOUDMATRIX384.price_usd.value).usd(3600) / 384 == pytest.approx(0.61, abs=0.005)
    assert bought(3.1e6).usd(3600) / GB200_NVL72.num_npus == pytest.approx(1.23, abs=0.005)


@given(rent=st.floats(0, 100), npus=st.integers(0, 10**5), hours=st.floats(0, 1e4))
def test_rent_goes_by_npu_and_hour(rent: float, npus: int, hours: float) -> None:
    assert rented(rent, npus).usd(hours * 3600) == pytest.approx(rent * npus * hours)


def test_a_rent_pays_the_electricity() -> None:
    assert rented(2.0, 8).includes_energy
    assert not bought(8e6).includes_energy


@pytest.mark.parametrize("make", [lambda: bought(-1), lambda: bought(1, 0), lambda: rented(-1, 8)])
def test_impossible_prices_are_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(PriceError, match="give"):
        make()
