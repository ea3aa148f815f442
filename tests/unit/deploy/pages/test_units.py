"""One unit per axis: the largest value reads between 1 and 1,000, and nothing is changed but the unit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.pages.units import scale, shown


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        ("s", 0.0526, "52.6 ms"),
        ("s", 25e-6, "25 µs"),
        ("s", 0.0, "0 s"),
        ("percentunit", 0.646, "64.6 %"),
        ("watt", 106_000.0, "106 kW"),
        ("Bps", 2.9e9, "2.9 GB/s"),
        ("si:tok/s", 24_303.0, "24.3 ktok/s"),
        ("reqps", 0.2, "0.2 req/s"),
        ("suffix: x", 4.99, "4.99 x"),
        ("none", 15.0, "15"),
        ("short", 12_300.0, "12.3 k"),
        ("celsius", 41.0, "41 celsius"),
    ],
)
def test_values_read_as_people_write_them(unit: str, value: float, text: str) -> None:
    assert shown(unit, value) == text


@given(value=st.floats(1e-6, 999e12), unit=st.sampled_from(["s", "watt", "Bps", "decbytes", "si:tok/s"]))
def test_the_scale_is_the_largest_that_fits(value: float, unit: str) -> None:
    scaled = value / scale(unit, value).divisor
    if unit == "s":
        assert scaled < 1_000 or value >= 1
    elif value >= 1:
        assert 1 <= scaled < 1_000
