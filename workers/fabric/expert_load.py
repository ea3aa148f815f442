"""What an instance tells the fabric of the exchange between its own dies, and how fast it is with the share it gets."""

from __future__ import annotations

from typing import Final, Generic, Protocol, TypeVar

from scheduler.protocol.addresses import FABRIC_ADDRESS
from scheduler.protocol.component import NOTHING, Outputs
from scheduler.protocol.messages import ExpertLoadReported

REFRESH_NS: Final = 100_000_000
"""Loads and shares are estimates, made anew at most this often."""

CHANGE_PPM: Final = 20_000
"""What changes by less is not told."""

PPM: Final = 1_000_000

Cost_co = TypeVar("Cost_co", covariant=True)


class CostAtShares(Protocol[Cost_co]):
    """What `sim_hw.instance.ub_shares` offers."""

    def at(self, share_ppm: int) -> Cost_co:
        """How long work takes when the exchange has that share of the lines."""
        ...


class ExchangeLoad(Generic[Cost_co]):
    """Says `ExpertLoadReported`: that work has ended at once, anything else at most every `REFRESH_NS`, and only if it
    differs by more than `CHANGE_PPM` from what still holds.

    `line_ns`: nanoseconds of the line of each die that a computed and a cached token of a pass take, or a sequence in
    a step; of a whole instance, spread over all its dies.
    """

    def __init__(
        self,
        address: str,
        costs: CostAtShares[Cost_co],
        line_ns: tuple[float, float],
        line_bytes_per_s: int,
        told_to: str = FABRIC_ADDRESS,
    ) -> None:
        self._address = address
        self._costs = costs
        self._line_ns = line_ns
        self._line_bytes_per_s = line_bytes_per_s
        self._told_to = told_to
        self._share_ppm = PPM
        self._told = 0
        self._told_ns = -REFRESH_NS
        self._until_ns = 0

    def cost(self, share_ppm: int) -> Cost_co:
        """How long work takes from now on."""
        self._share_ppm = share_ppm
        return self._costs.at(share_ppm)

    def tell(self, now_ns: int, until_ns: int, length_ns: int, units: int, cached: int = 0) -> Outputs:
        """Work of so many units that lasts `length_ns`, or comes again every so long, goes on until then; or none."""
        holds = self._told if self._until_ns > now_ns else 0
        if not units:
            if not holds:
                return NOTHING
            return self._say(0, now_ns)
        if now_ns < self._told_ns + REFRESH_NS:
            return NOTHING
        line_ns = units * self._line_ns[0] + cached * self._line_ns[1]
        load = round(self._line_bytes_per_s * min(1.0, line_ns / length_ns))
        is_near = abs(load - holds) * PPM <= holds * CHANGE_PPM
        if is_near and (until_ns <= self._until_ns or self._until_ns >= now_ns + REFRESH_NS):
            return NOTHING
        self._told_ns = now_ns
        return self._say(load, until_ns)

    def _say(self, load: int, until_ns: int) -> Outputs:
        self._told = load
        self._until_ns = until_ns
        return ((self._told_to, ExpertLoadReported(self._address, load, until_ns, self._share_ppm)),)
