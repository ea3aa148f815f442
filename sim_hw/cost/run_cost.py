"""Dollars of a run, input and output apart.

The rule: what a prefill pool costs, capital and energy, is the cost of input tokens; a decode pool's, of output tokens.
A pool that does both is divided as its busy NPU-seconds are. What belongs to no pool (hosts, switches, losses, spare
NPUs) is divided as the NPUs of the pools are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from sim_hw.cost.prices import HardwarePrice
from sim_hw.errors import PriceError

MILLION: Final = 1e6


class PoolUsage(Struct, frozen=True):
    """NPUs that did the same kind of work, in the mean over time; `energy_usd` is what theirs cost at the meter."""

    num_npus: float
    """Where chips differ, as many NPUs of the mean price as cost the same."""
    energy_usd: float
    input_share: float
    """1 for prefill, 0 for decode; of an aggregated pool, the share of its busy NPU-seconds that prefill took."""


class RunUsage(Struct, frozen=True):
    """What a run used of one system."""

    seconds: float
    input_tokens: int
    """Of prompts, cached ones included: what is billed."""
    output_tokens: int
    pools: Sequence[PoolUsage]
    num_npus: float
    """Of the system, spare ones included."""
    other_energy_usd: float = 0.0
    """At the meter, of all that belongs to no pool."""


class SideCost(Struct, frozen=True):
    """Of input or of output."""

    capital_usd: float
    energy_usd: float
    tokens: int

    @property
    def usd(self) -> float:
        return self.capital_usd + self.energy_usd

    @property
    def usd_per_million_tokens(self) -> float | None:
        """None without tokens."""
        return self.usd / self.tokens * MILLION if self.tokens else None


class RunCost(Struct, frozen=True):
    """Sides sum to the whole."""

    input: SideCost
    output: SideCost

    @property
    def usd(self) -> float:
        return self.input.usd + self.output.usd

    @property
    def usd_per_million_tokens(self) -> float | None:
        """Over all tokens, input and output alike; None without any. Also the one price that covers all costs."""
        tokens = self.input.tokens + self.output.tokens
        return self.usd / tokens * MILLION if tokens else None


def run_cost(usage: RunUsage, hardware: HardwarePrice) -> RunCost:
    """By the rule above. Raises `PriceError` for pools that are larger than the system."""
    pooled = sum(pool.num_npus for pool in usage.pools)
    if pooled > usage.num_npus:
        raise PriceError(f"pools of {pooled:g} NPUs on a system of {usage.num_npus}; give at most what it has")
    capital_usd = hardware.usd(usage.seconds)
    # A rent has paid the electricity.
    billed = 0.0 if hardware.includes_energy else 1.0
    input_npus = sum(pool.num_npus * pool.input_share for pool in usage.pools)
    share = input_npus / pooled if pooled else 0.5
    input_usd = sum(pool.energy_usd * pool.input_share for pool in usage.pools) + share * usage.other_energy_usd
    output_usd = sum(pool.energy_usd * (1.0 - pool.input_share) for pool in usage.pools)
    output_usd += (1.0 - share) * usage.other_energy_usd
    return RunCost(
        SideCost(share * capital_usd, billed * input_usd, usage.input_tokens),
        SideCost((1.0 - share) * capital_usd, billed * output_usd, usage.output_tokens),
    )


class CostLine(Struct, frozen=True):
    """Dollars for the same work on one system: a constant, and so much for each dollar a kWh costs."""

    capital_usd: float
    energy_kwh: float

    def usd(self, usd_per_kwh: float) -> float:
        return self.capital_usd + self.energy_kwh * usd_per_kwh


def break_even_usd_per_kwh(one: CostLine, other: CostLine) -> float | None:
    """The price of electricity at which both cost the same; None if one is dearer at every price from 0."""
    energy_kwh = one.energy_kwh - other.energy_kwh
    if energy_kwh == 0:
        return None
    price = (other.capital_usd - one.capital_usd) / energy_kwh
    return price if price >= 0 else None
