"""What a prefill instance asks of the hardware model: how long a pass takes, and what it costs in energy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

# Only an instance that keeps a power budget needs what does it.
if TYPE_CHECKING:
    from sim_hw.instance.throttle import ThrottledPass


class PrefillCost(Protocol):
    """The length of one pass of a whole instance."""

    def prefill_ns(self, computed_tokens: int, attention_pairs: int, cached_tokens: int) -> int:
        """Nanoseconds for tokens computed, (query, key) pairs attended to, and cached tokens expanded."""
        ...


class PrefillEnergy(Protocol):
    """Joules of a whole instance from integer totals, so that they do not depend on how work was grouped."""

    def joules(self, *, busy_ns: int, passes: int, computed_tokens: int, attention_pairs: int, idle_ns: int) -> float:
        """Energy of busy and idle time in which that much was computed."""
        ...


class PassThrottle(Protocol):
    """How a pass is slowed to keep a budget."""

    def run(self, budget_w: float, full_ns: int, tokens: int, pairs: int) -> ThrottledPass:
        """Time and energy of a pass that lasts `full_ns` at the full clock."""
        ...
