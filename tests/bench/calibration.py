"""A fixed loop that tells how fast the machine is just now; its speed changes within minutes."""

from __future__ import annotations

import time
from typing import Final

_ROUNDS: Final = 3_000_000


def calibration_s() -> float:
    """Seconds that the loop takes: pure Python arithmetic, one core."""
    started_s = time.perf_counter()
    total = 0
    for number in range(_ROUNDS):
        total += number * number & 7
    return time.perf_counter() - started_s
