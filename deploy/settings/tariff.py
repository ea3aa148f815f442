"""The setting `tariff`, as a user writes it: a known name, a price, prices by the hour of the day, or a file of these.

    china-average-time-of-use       # a known one
    0.12                            # dollars a kWh, at all times
    0=0.05,8=0.10,14=0.15,22=0.10   # from each hour of the day on
    mine.yaml                       # bands: [{from_hour: 0, usd_per_kwh: 0.05}, ...]

Each may end in @HOUR, the hour of the day at which the run begins; midnight unless it says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deploy.hardware.endings import is_file
from scheduler.protocol.catalog import shorten
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.quantity import QuantityError, read_quantity
from sim_hw.cost.tariffs import Band, Tariff, begun_at, find_tariff, flat
from sim_hw.errors import PriceError, UnknownNameError
from sim_hw.figure import Confidence, Figure
from sim_hw.power.sites import Site

MAX_USD_PER_KWH: Final = 100.0

_FORMS: Final = "or write dollars a kWh such as 0.12, prices by hour such as 0=0.05,8=0.12, or a .yaml file of bands"


def parse_tariff(text: str, site: Site) -> Tariff:
    """The tariff of a run that begins at its hour zero; the flat one of the site for an empty text.

    Raises `ConfigError`.
    """
    name, _, hour = text.rpartition("@") if "@" in text else (text, "", "")
    tariff = _named(name.strip().removesuffix("/kWh"), site)
    if not hour and "@" not in text:
        return tariff
    start_hour = _number(hour, "h")
    if not 0 <= start_hour < 24:
        raise ConfigError(f"{shorten(text)} begins at hour {start_hour:g}; give an hour from 0 to below 24")
    return begun_at(tariff, start_hour)


def kept_tariff(text: str) -> str:
    """The text with the path of a file made absolute: processes that stand elsewhere read it too."""
    name, at, hour = text.rpartition("@") if "@" in text else (text, "", "")
    return f"{Path(name).resolve()}{at}{hour}" if is_file(name) else text


def _named(name: str, site: Site) -> Tariff:
    if not name:
        return find_tariff(site.name)
    if is_file(name):
        return _from_file(name)
    if "=" in name:
        pairs = [term.partition("=") for term in name.split(",")]
        return _tariff(name, [(_number(hour, "h"), _number(price, "")) for hour, _, price in pairs])
    if name[0].isdigit() or name[0] in ".+-":
        return flat(name, _price(_number(name.removesuffix("USD"), "")))
    try:
        return find_tariff(name)
    except UnknownNameError as error:
        raise ConfigError(f"{error}; {_FORMS}") from None


def _from_file(path: str) -> Tariff:
    # What reads files takes a while to import, and most runs name what is known.
    from scheduler.sources.synthetic.settings_file import read_settings

    file = read_settings(path, "a tariff")

    def bands() -> list[tuple[float, float]]:
        sections = file.sections("bands")
        return [one.build(lambda one=one: (one.number("from_hour"), one.number("usd_per_kwh"))) for one in sections]

    read = file.build(bands)
    try:
        return _tariff(path, read)
    except ConfigError as error:
        raise ConfigError(f"{file.place}: {error}") from None


def _tariff(name: str, bands: list[tuple[float, float]]) -> Tariff:
    try:
        return Tariff(name, tuple(Band(hour, _price(usd)) for hour, usd in bands))
    except PriceError as error:
        raise ConfigError(str(error)) from None


def _price(usd_per_kwh: float) -> Figure:
    if not 0 <= usd_per_kwh <= MAX_USD_PER_KWH:
        raise ConfigError(f"{usd_per_kwh:g} USD a kWh; give a price from 0 to {MAX_USD_PER_KWH:g}")
    return Figure(usd_per_kwh, "USD/kWh", "given by the user", Confidence.ESTIMATE)


def _number(text: str, unit: str) -> float:
    try:
        return read_quantity(text, unit)
    except QuantityError as error:
        raise ConfigError(f"{error}; {_FORMS}") from None
