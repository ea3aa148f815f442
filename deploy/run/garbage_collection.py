"""When Python looks for cycles of objects that nobody holds: seldom, since neither imports nor runs make many."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

ALLOCATIONS: Final = 100_000
"""Objects made and not yet freed between two looks: more than start-up makes. The interpreter's 700 cost a run of many
open requests 14 % of its time, and start-up 6 %."""

_THRESHOLDS: Final = (ALLOCATIONS, 50, 100)


def collect_seldom() -> None:
    """In this process from now on, and not when it ends: what is left then is freed with it, and the last look alone
    took a seventh of the shortest replay."""
    gc.set_threshold(*_THRESHOLDS)
    atexit.register(gc.freeze)


@contextmanager
def seldom_collected() -> Generator[None]:
    """For a run within a process of another's: each look walks through every open request."""
    before = gc.get_threshold()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
