"""What an instance tells the fabric of the expert all-to-all between its dies, and how fast it is with its share."""

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
    """Costs of work by the share of UB links that the all-to-all has; `sim_hw.instance.ub_shares` has them."""

    def at(self, share_ppm: int) -> Cost_co:
        """How long work takes when the all-to-all has that share of the links, in millionths."""
        ...


class ExpertLoad(Generic[Cost_co]):
    """Sends `ExpertLoadReported`: at once that work has ended, anything else at most every `REFRESH_NS`, and only if it
    differs by more than `CHANGE_PPM` from what still holds.

    `link_ns`: nanoseconds of the link of each die that a computed and a cached token of a pass take, or a sequence in
    a step; of a whole instance, spread over all its dies. `line_rate_bytes_per_s`: of the link of one die.
    """

    def __init__(
        self,
        address: str,
        costs: CostAtShares[Cost_co],
        link_ns: tuple[float, float],
        line_rate_bytes_per_s: int,
        told_to: str = FABRIC_ADDRESS,
    ) -> None:
        self._address = address
        self._costs = costs
        self._link_ns = link_ns
        self._line_rate_bytes_per_s = line_rate_bytes_per_s
        self._told_to = told_to
        self._share_ppm = PPM
        self._told = 0
        self._told_ns = -REFRESH_NS
        self._until_ns = 0

    def cost(self, share_ppm: int) -> Cost_co:
        """How long work takes from now on, with this share of the links, in millionths."""
        self._share_ppm = share_ppm
        return self._costs.at(share_ppm)

    def tell(self, now_ns: int, until_ns: int, length_ns: int, units: int, cached: int = 0) -> Outputs:
        """Work of so many units that lasts `length_ns`, or comes again every so long, goes on until then; or none."""
        holds = self._told if self._until_ns > now_ns else 0
        if not units:
            if not holds:
                return NOTHING
            return self._send(0, now_ns)
        if now_ns < self._told_ns + REFRESH_NS:
            return NOTHING
        link_ns = units * self._link_ns[0] + cached * self._link_ns[1]
        load = round(self._line_rate_bytes_per_s * min(1.0, link_ns / length_ns))
        is_near = abs(load - holds) * PPM <= holds * CHANGE_PPM
        if is_near and (until_ns <= self._until_ns or self._until_ns >= now_ns + REFRESH_NS):
            return NOTHING
        self._told_ns = now_ns
        return self._send(load, until_ns)

    def _send(self, load: int, until_ns: int) -> Outputs:
        self._told = load
        self._until_ns = until_ns
        return [(self._told_to, ExpertLoadReported(self._address, load, until_ns, self._share_ppm))]
