"""Runs engines, each with its HTTP service, until they are told to end, or one of them breaks."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from deploy.engines.engine import EngineState
from deploy.engines.served import ServedEngine

POLL_S: Final = 0.05
"""Wall seconds between two looks at whether all requests have ended."""

Result = TypeVar("Result")


def run_on_fast_loop(work: Coroutine[Any, Any, Result]) -> Result:
    """On uvloop, but for Windows, where it is not."""
    if sys.platform == "win32":
        return asyncio.run(work)
    import uvloop

    return uvloop.run(work)


class _Signals:
    """SIGINT and SIGTERM: the first asks for an end, the second for an end at once."""

    def __init__(self) -> None:
        self.first: Final = asyncio.Event()
        self.second: Final = asyncio.Event()

    def __enter__(self) -> _Signals:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)

    def _hear(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


async def serve(engines: Sequence[ServedEngine], grace_s: float, on_ready: Callable[[list[str]], None]) -> bool:
    """Start all, call `on_ready` with the addresses on which they listen, and serve until SIGINT or SIGTERM.

    Then no more requests are taken, and open ones have `grace_s` on the wall to end; a second signal ends them at once.
    Returns whether all ended by themselves. Raises what broke an engine, and a `ClusterError` if one cannot listen.
    """
    with _Signals() as signals:
        try:
            on_ready([await one.start() for one in engines])
            asked = asyncio.create_task(signals.first.wait())
            await asyncio.wait([asked, *(one.running for one in engines)], return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            for one in engines:
                if one.running.done():
                    one.running.result()
            return await _drain(engines, signals, grace_s)
        finally:
            for one in engines:
                await one.stop()


async def _drain(engines: Sequence[ServedEngine], signals: _Signals, grace_s: float) -> bool:
    for one in engines:
        one.engine.state = EngineState.ENDING
    left = round(grace_s / POLL_S)
    while any(one.engine.num_open for one in engines) and left > 0 and not signals.second.is_set():
        left -= 1
        await asyncio.sleep(POLL_S)
    return not any(one.engine.num_open for one in engines)
