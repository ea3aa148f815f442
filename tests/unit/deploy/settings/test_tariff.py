"""The price of electricity, in all the ways in which one may write it."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.settings.load import load_settings
from deploy.settings.tariff import kept_tariff, parse_tariff
from scheduler.protocol.errors import ConfigError, InputError
from sim_hw.cost.tariffs import Tariff, find_tariff
from sim_hw.power.sites import find_site

SITE = find_site("us-texas")
HOUR_S = 3600.0
BY_HOUR = {0: 0.05, 7: 0.05, 8: 0.10, 13: 0.10, 14: 0.15, 21: 0.15, 22: 0.10, 23: 0.10}


def prices(tariff: Tariff, start: float = 0.0) -> dict[int, float]:
    """By hour of the day, of a run that began at that hour."""
    return {hour: tariff.usd_per_kwh_at((hour - start) % 24 * HOUR_S) for hour in BY_HOUR}


def test_a_flat_price_may_be_ones_own() -> None:
    for text in ("0.12", "0.12USD/kWh", "0.12 USD/kWh", "1.2e-1"):
        assert parse_tariff(text, SITE).usd_per_kwh_at(5 * HOUR_S) == 0.12
    assert parse_tariff("", SITE) == find_tariff("us-texas")


def test_prices_by_the_hour_come_by_flag_and_by_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    bands = "bands:\n- {from_hour: 0, usd_per_kwh: 0.05}\n- {from_hour: 8, usd_per_kwh: 0.10}\n"
    path.write_text(f"{bands}- {{from_hour: 14h, usd_per_kwh: 0.15}}\n- {{from_hour: 22, usd_per_kwh: 0.10}}\n")
    for text in ("0=0.05,8=0.10,14=0.15,22=0.10", str(path)):
        assert prices(parse_tariff(text, SITE)) == BY_HOUR
        for start in (0.0, 8.0, 13.5, 23.0):
            assert prices(parse_tariff(f"{text}@{start:g}", SITE), start) == BY_HOUR


def test_a_run_may_begin_at_an_hour_of_the_day() -> None:
    known = find_tariff("china-average-time-of-use")
    at_18 = parse_tariff("china-average-time-of-use@18h", SITE)
    for hour in range(24):
        assert at_18.usd_per_kwh_at(hour * HOUR_S) == known.usd_per_kwh_at((hour + 18) * HOUR_S)
    assert at_18.mean_usd_per_kwh(0.0, 24 * HOUR_S) == pytest.approx(known.mean_usd_per_kwh(0.0, 24 * HOUR_S))


def test_a_file_is_kept_with_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert kept_tariff("mine.yaml@8") == f"{tmp_path / 'mine.yaml'}@8"
    assert [kept_tariff(text) for text in ("", "us-texas@8", "0.12")] == ["", "us-texas@8", "0.12"]
    Path("mine.yaml").write_text("bands: [{from_hour: 0, usd_per_kwh: 0.2}]\n")
    settings = load_settings(None, {"tariff": "mine.yaml"})
    monkeypatch.chdir("/")
    assert settings.changed(seed=1).money.tariff.usd_per_kwh_at(0.0) == 0.2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("free", "unknown tariff 'free'"),
        ("0.12EUR", "cannot read '0.12EUR'"),
        ("-0.1", "-0.1 USD a kWh; give a price from 0 to 100"),
        ("8=0.1,0=0.2", "bands from hours [8.0, 0.0]; give some, rising, from 0 below 24"),
        ("0=0.1,25=0.2", "bands from hours [0.0, 25.0]"),
        ("us-texas@24", "begins at hour 24; give an hour from 0 to below 24"),
        ("us-texas@noon", "cannot read 'noon'; write hours of the day"),
        ("us-texas@", "cannot read ''; write hours of the day"),
        ("none.yaml", "none.yaml: no such file; give the path of a tariff"),
    ],
)
def test_what_is_no_tariff_is_one_line(text: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_tariff(text, SITE)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_fault_in_a_file_has_its_place(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("bands:\n- {from_hour: 0, usd_per_kwh: -1}\n")
    with pytest.raises(ConfigError, match=r"mine.yaml:1: -1 USD a kWh; give a price from 0 to 100$"):
        parse_tariff(str(path), SITE)
