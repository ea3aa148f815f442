"""Ctrl-C as a request to stop cleanly, not as an exception in the middle of a state change."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Self

from deploy.terminal.output import tell


@contextmanager
def terminate_as_interrupt() -> Generator[None]:
    """SIGTERM raises KeyboardInterrupt as Ctrl-C does, so that what is half done is cleared away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(_signum: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _no_call() -> None:
    """There is no such call."""


@contextmanager
def stop_on_interrupt(stop: Callable[[], None], break_off: Callable[[], None] = _no_call) -> Generator[None]:
    """Call `stop` on SIGINT and SIGTERM while the body runs; a second signal interrupts at once. `break_off`, called
    next, raises what breaks off a call that does not look whether it is to stop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def on_signal(_signum: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        stop()
        break_off()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class EndsUnlessDone:
    """Ends this process with one line and exit code 3 unless `done` is said, or the body left, within a time.

    For calls into libraries that neither return nor heed a signal: a command answers within its bound all the same.
    """

    def __init__(self, seconds: float, line: str) -> None:
        self._line = line
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done()

    def done(self) -> None:
        """It has not come to that."""
        self._timer.cancel()

    def _end(self) -> None:
        tell(f"supernode: {self._line}")
        os._exit(3)
