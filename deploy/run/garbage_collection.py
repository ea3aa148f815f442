"""Garbage collection in a command: seldom while it runs, and never when it ends.

A run makes no cycles (`tests/unit/deploy/run/test_garbage_collection.py`): reference counts free all that it drops, so
that a collection finds nothing, however much it walks through. It is not switched off all the same: a policy of a
user's own may make cycles, and then what waits to be collected is bounded by `ALLOCATIONS` objects. What a process
holds at its end the system takes back at once.
"""

from __future__ import annotations

import atexit
import gc
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

ALLOCATIONS: Final = 200_000
"""Objects made and not yet freed between two collections, some 20 MB. With the interpreter's 700, imports alone take a
hundred collections, and a run of many open requests 14 % longer."""


@contextmanager
def patient_collection(*, until_exit: bool = False) -> Generator[None]:
    """Collect seldom within, and in no case when the interpreter ends: it would walk through all objects twice.

    `until_exit`: the process ends with what is within. To collect often again would begin with a walk through all that
    was made since.
    """
    before = gc.get_threshold()
    gc.set_threshold(ALLOCATIONS, 10, 10)
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
    try:
        yield
    finally:
        if not until_exit:
            gc.set_threshold(*before)


SERVING_ALLOCATIONS: Final = 50_000
"""The same in a process that serves clients: some milliseconds of looking through what came since."""


def settle() -> None:
    """What this process holds by now is there for as long as it lives, and is never looked through again.

    For processes that are to be on time: a full collection walks through all modules, some 50 ms, in which nobody is
    answered. What they drop later in one piece they `sweep`.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(SERVING_ALLOCATIONS, 10, 10)


def sweep() -> None:
    """Free what was dropped since a process has settled and whose parts hold one another, such as a session with its
    tasks: a megabyte that would wait for a hundred collections. Takes some milliseconds: for when nobody waits."""
    gc.collect()
