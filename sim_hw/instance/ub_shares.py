"""Passes and steps of an instance that gets only a share of what its own all-to-alls want of UB.

For each share of a grid the instance is compiled as it is with so much of UB, when it is first asked for: seldom, since
shares differ from 1 only while something else is on the same links. At share 1 it is the instance itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

PPM: Final = 1_000_000
"""Shares are whole millionths."""

SHARE_STEP_PPM: Final = 20_000
"""The grid: what changes by less is not worth a new estimate."""

Cost = TypeVar("Cost")


class AtShares(Generic[Cost]):
    """What `compile_at` makes for a share, 0 < share <= 1, by the nearest share of the grid."""

    def __init__(self, whole: Cost, compile_at: Callable[[float], Cost]) -> None:
        self._compile_at = compile_at
        self._by_step: dict[int, Cost] = {PPM // SHARE_STEP_PPM: whole}

    def at(self, share_ppm: int) -> Cost:
        """For that share; one below the least of the grid counts as that."""
        step = max(1, (share_ppm + SHARE_STEP_PPM // 2) // SHARE_STEP_PPM)
        found = self._by_step.get(step)
        if found is None:
            found = self._by_step[step] = self._compile_at(step * SHARE_STEP_PPM / PPM)
        return found
