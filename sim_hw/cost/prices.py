"""What hardware costs by time: bought and written off in a straight line, or rented."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from sim_hw.errors import PriceError
from sim_hw.figure import Confidence, Figure

YEAR_S: Final = 365.25 * 24 * 3600
HOUR_S: Final = 3600.0

LIFE: Final = Figure(4.0, "year", "straight line over four years, usual for accelerators; assumed", Confidence.ESTIMATE)


class HardwarePrice(Struct, frozen=True):
    """What a system costs for each second that it is there, used or not."""

    usd_per_s: float
    includes_energy: bool
    """A rent does."""

    def usd(self, seconds: float) -> float:
        """For a span."""
        return self.usd_per_s * seconds


def bought(price_usd: float, life_years: float = LIFE.value) -> HardwarePrice:
    """Capital alone: hosting, staff and interest are not in it. Raises `PriceError`."""
    if price_usd < 0 or life_years <= 0:
        raise PriceError(f"{price_usd:g} USD over {life_years:g} years; give a price from 0 and a life above 0")
    return HardwarePrice(price_usd / (life_years * YEAR_S), includes_energy=False)


def rented(usd_per_npu_hour: float, num_npus: int) -> HardwarePrice:
    """By the hour and NPU, electricity and hosting included. Raises `PriceError`."""
    if usd_per_npu_hour < 0 or num_npus < 0:
        raise PriceError(f"{num_npus} NPUs at {usd_per_npu_hour:g} USD an hour; give numbers from 0")
    return HardwarePrice(usd_per_npu_hour * num_npus / HOUR_S, includes_energy=True)
