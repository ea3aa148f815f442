"""The one file that reads a clock: emulated time from the machine's monotonic clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

from scheduler.protocol.component import NEVER_NS

if TYPE_CHECKING:
    import asyncio

NS_PER_S: Final = 1_000_000_000

_ZERO_SAMPLES: Final = 5
_ZERO_GUARD_NS: Final = 1_000
_TIMER_NS: Final = 1_000_000


class Clock(Protocol):
    """Emulated time, and a way to wait for it; tests have their own."""

    speed: float
    """Emulated seconds in a second on the wall."""

    def now_ns(self) -> int:
        """Emulated nanoseconds since clock zero; negative before it."""
        ...

    async def wait(self, changed: asyncio.Event, deadline_ns: int) -> None:
        """Return when `changed` is set or emulated time has reached `deadline_ns`."""
        ...


class LiveClock:
    """`now_ns` = (monotonic clock - `zero_monotonic_ns`) * `speed`.

    Timers of an event loop know milliseconds, and fire half of one late in the median. For who cannot have that, a
    clock that `is_sharp` waits whole ones by a timer, and for the rest keeps the loop turning: others do what they have
    to do meanwhile, and a processor is busy for up to a millisecond before each deadline.
    """

    def __init__(self, zero_monotonic_ns: int, speed: float, *, is_sharp: bool = False) -> None:
        self.speed = speed
        self._zero_ns = zero_monotonic_ns
        self._is_sharp = is_sharp

    @classmethod
    def at_wall_zero(cls, zero_wall_ns: int, speed: float) -> LiveClock:
        """The clock that is at zero when the wall clock shows `zero_wall_ns`; the same instant in every process.

        Processes share wall time and nothing else, so each turns it into its own monotonic time once, and a later jump
        of the wall clock changes nothing; who joins later is told of clock zero as of then (`wall_zero_ns`). Across
        nodes the wall clocks are as far apart as NTP leaves them.
        """
        return cls(zero_wall_ns - _offset_ns(), speed)

    @classmethod
    def in_s(cls, delay_s: float, speed: float, *, is_sharp: bool = False) -> LiveClock:
        """The clock that is at zero so many wall seconds from now."""
        return cls(time.monotonic_ns() + int(delay_s * NS_PER_S), speed, is_sharp=is_sharp)

    def wall_zero_ns(self) -> int:
        """What the wall clock, as it is set now, showed at clock zero: `at_wall_zero` of this, in another process and
        before the wall clock is set again, is the same clock."""
        return self._zero_ns + _offset_ns()

    def now_ns(self) -> int:
        """Emulated nanoseconds since clock zero; negative before it."""
        return int((time.monotonic_ns() - self._zero_ns) * self.speed)

    async def wait(self, changed: asyncio.Event, deadline_ns: int) -> None:
        """Return when `changed` is set or emulated time has reached `deadline_ns`; may return early."""
        if deadline_ns == NEVER_NS:
            await changed.wait()
            return
        import asyncio  # a virtual run reads this clock for its wall time only, and must not pay for an event loop

        # Rounding must not end the wait just before the deadline: the loop would turn once for nothing.
        left_ns = deadline_ns / self.speed - (time.monotonic_ns() - self._zero_ns) + _ZERO_GUARD_NS
        if left_ns <= 0:
            await asyncio.sleep(0)
            return
        if self._is_sharp:
            if left_ns < _TIMER_NS:
                while not changed.is_set() and self.now_ns() < deadline_ns:
                    await asyncio.sleep(0)
                return
            left_ns -= left_ns % _TIMER_NS
        timer = asyncio.get_running_loop().call_later(left_ns / NS_PER_S, changed.set)
        try:
            await changed.wait()
        finally:
            timer.cancel()


def wall_now_ns() -> int:
    """The wall clock, in nanoseconds since 1970: what processes agree on a clock zero with."""
    return time.time_ns()


def wall_now_text() -> str:
    """The wall clock for people and files: UTC to the second, ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def monotonic_s() -> float:
    """Seconds of wall time that a run took are differences of this."""
    return time.monotonic()


def pause_s(seconds: float) -> None:
    """Do nothing for a while; never in a loop that serves others."""
    time.sleep(seconds)


def _offset_ns() -> int:
    """Wall clock - monotonic clock, now, as exactly as can be told."""
    return min(_wall_minus_monotonic() for _ in range(_ZERO_SAMPLES))[1]


def _wall_minus_monotonic() -> tuple[int, int]:
    """(uncertainty, wall clock - monotonic clock), both in nanoseconds."""
    before_ns = time.monotonic_ns()
    wall_ns = time.time_ns()
    after_ns = time.monotonic_ns()
    return after_ns - before_ns, wall_ns - (before_ns + after_ns) // 2
