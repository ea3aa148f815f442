"""One way to read numbers with units, and hints for those that could mean two things."""

from __future__ import annotations

from contextlib import suppress
from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol.errors import ConfigError
from scheduler.protocol.quantity import MAX_VALUE, read_count, read_quantity, unit_of


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("512e9", "B", 512e9),
        ("512GB", "B", 512e9),
        ("512 GB", "B", 512e9),
        ("512GiB", "B", 512 * 2**30),
        ("1.6TB/s", "B/s", 1.6e12),
        ("300KW", "W", 300e3),
        ("300kW", "W", 300e3),
        ("0.5min", "s", 30.0),
        ("50ms", "s", 0.05),
        ("250us", "s", 0.00025),
        ("2h", "s", 7200.0),
        ("1d", "s", 86400.0),
        ("50", "ms", 50.0),
        ("0.5s", "ms", 500.0),
        ("8.5h", "h", 8.5),
        ("30min", "h", 0.5),
        ("8.2M", "USD", 8.2e6),
        ("8.2MUSD", "USD", 8.2e6),
        ("376TFLOP/s", "FLOP/s", 376e12),
        ("20k", "", 20e3),
        ("-1.5e-3", "", -0.0015),
        (".5", "", 0.5),
    ],
)
def test_a_quantity_is_read_in_its_unit(text: str, unit: str, value: float) -> None:
    assert read_quantity(text, unit) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "unit", "hint"),
    [
        ("5m", "s", "m may be minutes or thousandths: write min or ms"),
        ("5m", "", "write M for a million"),
        ("512Gb", "B", "b stands for bits: write B for bytes"),
        ("512gb/s", "B/s", "b stands for bits"),
        ("350kw", "W", "write kW, in that case of letters"),
        ("350mw", "W", "write MW, in that case of letters"),
        ("5S", "s", "write s, in that case of letters"),
        ("5GB", "W", "write watts such as 350kW"),
        ("5G", "B", "write bytes such as 512GB or 512e9"),
        ("1,000", "", "write a number such as 20000, 2e4 or 20k"),
        ("", "B", "write bytes"),
        ("nan", "s", "write a time such as 30s"),
        ("1e999", "", "write a number"),
        ("1e-999999999k", "", "write a number"),
        ("1e300k", "", "write a number"),
        ("fast", "", "write a number"),
    ],
)
def test_what_could_mean_two_things_is_refused_with_a_hint(text: str, unit: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_quantity(text, unit)
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_number_alone_is_refused_where_it_needs_a_unit() -> None:
    with pytest.raises(ConfigError, match="which has no unit; write watts such as 350kW"):
        read_quantity("350", "W", needs_unit=True)
    assert read_quantity("350", "", needs_unit=True) == 350


@given(number=st.floats(-MAX_VALUE, MAX_VALUE), unit=st.sampled_from(["B", "W", "s", "ms", "h", "USD", ""]))
def test_what_python_writes_is_read_as_it_is(number: float, unit: str) -> None:
    assert read_quantity(repr(number), unit) == number


@given(text=st.text(max_size=20), unit=st.sampled_from(["B", "B/s", "W", "s", "USD", ""]))
def test_any_text_is_read_or_refused(text: str, unit: str) -> None:
    with suppress(ConfigError):
        assert isfinite(read_quantity(text, unit))


def test_whole_numbers_are_whole() -> None:
    assert (read_count("20k"), read_count("1e6"), read_count("7")) == (20_000, 1_000_000, 7)
    with pytest.raises(ConfigError, match="as a whole number"):
        read_count("1.5")


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("cache_bytes_per_server", "B"),
        ("cache_ssd_bytes_per_server", "B"),
        ("bytes_per_s", "B/s"),
        ("rate_per_s", ""),
        ("request_timeout_s", "s"),
        ("tpot_ms", "ms"),
        ("tdp_w", "W"),
        ("price_usd", "USD"),
        ("from_hour", "h"),
        ("max_open_requests", ""),
        ("s", "s"),
    ],
)
def test_the_unit_of_a_name_is_its_last_words(name: str, unit: str) -> None:
    assert unit_of(name) == unit
