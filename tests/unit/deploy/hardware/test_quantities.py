"""Numbers carry the prefix that suits them, and columns line up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.hardware.quantities import count, quantity
from deploy.terminal.table import table

PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "W", "0 W"),
        (559_378, "W", "559.4 kW"),
        (999_960, "B", "1 MB"),
        (1.6e12, "B/s", "1.6 TB/s"),
        (288.768e15, "FLOP/s", "288.8 PFLOP/s"),
        (1.2e-6, "s", "1.2 us"),
        (0.0494, "s", "49.4 ms"),
        (83.9, "s", "83.9 s"),
        (8.2e6, "USD", "$8.2 M"),
        (90, "USD", "$90"),
        (2688, "link", "2,688"),
        (0.654, "1", "0.654"),
    ],
)
def test_a_value_as_people_read_it(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


@given(st.floats(1.0, 9.99e17))
def test_four_digits_of_a_value_can_be_read_back(value: float) -> None:
    number, prefixed = quantity(value, "B").split(" ")
    assert 1 <= float(number) < 1000
    assert float(number) * PREFIXES[prefixed.removesuffix("B")] == pytest.approx(value, rel=5.1e-4)


def test_counts_are_grouped() -> None:
    assert (count(6912), count(1.5)) == ("6,912", "1.5")


def test_columns_line_up() -> None:
    assert table([("a", "1", "x"), ("long", "200", "")], right=(1,)) == "a       1  x\nlong  200"
