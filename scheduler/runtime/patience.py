"""How long a live run waits, when nothing is due in it, for somebody to change that."""

from __future__ import annotations

from collections.abc import Callable

from scheduler.runtime.clock import NS_PER_S, Clock


class Patience:
    """Begins when nothing is due while requests are open (`num_open`), and runs out `seconds` later on the wall.

    `num_given_up`: requests that were open when it ran out.
    """

    def __init__(self, clock: Clock, num_open: Callable[[], int], seconds: float) -> None:
        self.num_given_up = 0
        self._clock = clock
        self._num_open = num_open
        self._seconds = seconds
        self._since_ns: int | None = None

    @property
    def left_s(self) -> float | None:
        """Wall seconds until it runs out; None while something is due."""
        if self._since_ns is None:
            return None
        return max(0.0, self._seconds - (self._clock.now_ns() - self._since_ns) / NS_PER_S / self._clock.speed)

    def restore(self) -> None:
        """Something is due again."""
        self._since_ns = None

    def is_over(self) -> bool:
        """Nothing is due: whether that is the end, because no request is open or nobody came in time."""
        num_open = self._num_open()
        if not num_open:
            return True
        if self._since_ns is None:
            self._since_ns = self._clock.now_ns()
        if self.left_s:
            return False
        self.num_given_up = num_open
        return True
