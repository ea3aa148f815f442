"""How far a planning is. Each answer decides what is asked next, so all that is to come is an estimate."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Final


class Stage(IntEnum):
    """Of a planning, in their order."""

    IDLE = 0
    """All shapes on the beginning of the trace, where nearly nothing waits."""
    SHORT = 1
    """Searches on the beginning of the trace."""
    WHOLE = 2
    """Searches on the whole trace."""
    REFINE = 3
    """One instance less, and other settings with it."""
    SURE = 4
    """How sure the answer is."""


TRIES: Final = {Stage.SHORT: 10, Stage.WHOLE: 25, Stage.REFINE: 25, Stage.SURE: 10}
"""Replays of a stage, for each search in the first two, as they came out for the public traces: an estimate, which only
the progress line uses."""


class Effort:
    """Counts requests replayed. `num_done` tells how many replays have ended."""

    def __init__(self, num_done: Callable[[], int]) -> None:
        self._num_done = num_done
        self._expected = dict.fromkeys(Stage, 0)
        self._stage = Stage.IDLE
        self._spent = 0
        self._spent_before_stage = 0
        self._num_before = 0
        self._num_asked = 0
        self._num_requests = 0

    def expect(self, stage: Stage, num_requests: int, num_searches: int = 1) -> None:
        """So many searches in a stage, whose replays have so many requests each."""
        self._expected[stage] = num_searches * TRIES[stage] * num_requests

    def enter(self, stage: Stage) -> None:
        """Those before it are over."""
        self._settle()
        self._stage, self._spent_before_stage = stage, self._spent

    def ask(self, num_replays: int, num_requests: int) -> None:
        """These go now, each of so many requests; those before have ended."""
        self._settle()
        self._num_asked, self._num_requests = num_replays, num_requests

    def read(self) -> tuple[int, int]:
        """Requests replayed, and the estimate of all."""
        num_ended = min(self._num_done() - self._num_before, self._num_asked)
        asked = self._spent + self._num_asked * self._num_requests
        expected = self._spent_before_stage + self._expected[self._stage]
        later = sum(rest for stage, rest in self._expected.items() if stage > self._stage)
        return self._spent + num_ended * self._num_requests, max(asked, expected) + later

    def _settle(self) -> None:
        self._spent += self._num_asked * self._num_requests
        self._num_before += self._num_asked
        self._num_asked = 0
