"""What electricity costs: flat, or by the time of the day."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from sim_hw.catalog import Catalog
from sim_hw.errors import PriceError
from sim_hw.figure import Confidence, Figure
from sim_hw.power.sites import SITES

DAY_S: Final = 24 * 3600.0
JOULES_PER_KWH: Final = 3.6e6


class Band(Struct, frozen=True):
    """From an hour of the day until the next band begins; the last one runs on past midnight."""

    from_hour: float
    usd_per_kwh: Figure


class Tariff(Struct, frozen=True):
    """Bands in order of the day. Raises `PriceError` if there are none, or out of order, or a price is below 0."""

    name: str
    bands: tuple[Band, ...]

    def __post_init__(self) -> None:
        hours = [band.from_hour for band in self.bands]
        if not hours or any(not 0 <= hour < 24 for hour in hours) or sorted(set(hours)) != hours:
            raise PriceError(f"tariff {self.name} has bands from hours {hours}; give some, rising, from 0 below 24")
        if any(band.usd_per_kwh.value < 0 for band in self.bands):
            raise PriceError(f"tariff {self.name} has a price below 0; give prices from 0")

    def usd_per_kwh_at(self, second_of_day: float) -> float:
        """At an instant; days repeat."""
        hour = (second_of_day % DAY_S) / 3600
        return next((one for one in reversed(self.bands) if one.from_hour <= hour), self.bands[-1]).usd_per_kwh.value

    def mean_usd_per_kwh(self, from_s: float, seconds: float) -> float:
        """Over a span that begins `from_s` into a day: the price of energy that is drawn evenly over it."""
        if seconds <= 0:
            return self.usd_per_kwh_at(from_s)
        return (self._integral(from_s + seconds) - self._integral(from_s)) / seconds

    def usd(self, joules: float, from_s: float = 0.0, seconds: float = 0.0) -> float:
        """For energy at the meter, drawn evenly over a span."""
        return joules / JOULES_PER_KWH * self.mean_usd_per_kwh(from_s, seconds)

    def _integral(self, until_s: float) -> float:
        """Of the price over time, from the first midnight."""
        days, rest_s = divmod(until_s, DAY_S)
        return days * self._day_integral(DAY_S) + self._day_integral(rest_s)

    def _day_integral(self, until_s: float) -> float:
        begins = [0.0, *(band.from_hour * 3600 for band in self.bands)]
        ends = [*begins[1:], DAY_S]
        prices = [self.bands[-1].usd_per_kwh.value, *(band.usd_per_kwh.value for band in self.bands)]
        return sum(price * max(0.0, min(end, until_s) - begin) for begin, end, price in zip(begins, ends, prices))


def flat(name: str, usd_per_kwh: Figure) -> Tariff:
    """One price at all times."""
    return Tariff(name, (Band(0.0, usd_per_kwh),))


def begun_at(tariff: Tariff, hour: float) -> Tariff:
    """The tariff as one sees it who counts hours from that hour of the day on, 0 <= hour < 24."""
    bands = sorted(tariff.bands, key=lambda band: (band.from_hour - hour) % 24.0)
    turned = (Band((band.from_hour - hour) % 24.0, band.usd_per_kwh) for band in bands)
    return Tariff(f"{tariff.name}@{hour:g}", tuple(turned))


_SHAPE: Final = "a third of the day each at 1.5, 1 and 0.5 of the average (3 to 1), the shape assumed"


def _by_time(average: Figure) -> tuple[Band, ...]:
    def price(factor: float) -> Figure:
        return Figure(factor * average.value, average.unit, f"{_SHAPE}; average: {average.source}", Confidence.ESTIMATE)

    return (Band(0, price(0.5)), Band(8, price(1.0)), Band(14, price(1.5)), Band(22, price(1.0)))


TARIFFS: Final[tuple[Tariff, ...]] = (
    *(flat(site.name, site.usd_per_kwh) for site in SITES),
    Tariff("china-average-time-of-use", _by_time(SITES[0].usd_per_kwh)),
)
"""One flat tariff by the name of each site, and one by time of the day of the same average."""

find_tariff: Final = Catalog("tariff", lambda: TARIFFS).find
