"""How many output tokens each sequence of an instance has after each of its steps."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from scheduler.protocol.running_tokens import pack_running

Ints = npt.NDArray[np.int64]

_FIRST_ROWS: Final = 64
_FIRST_TOKENS: Final = 8192


class TokenPaths:
    """Paths lie one behind the other in one array, so that a report reads a number of each at once.

    A path begins at the step at which its sequence joins, and has an entry for that and each step after it.
    """

    def __init__(self) -> None:
        self._tokens: Ints = np.zeros(_FIRST_TOKENS, np.int64)
        self._end = 0
        """Of what lies there."""
        # Of those that run, a column each: its id, in ascending order, the place where the entry of step 0 would be,
        # and that of its last entry.
        self._num = 0
        self._rows: Ints = np.zeros((3, _FIRST_ROWS), np.int64)

    def add(self, request_id: int, step: int, path: Ints) -> None:
        """A sequence joins at that step."""
        if self._end + len(path) > len(self._tokens):
            self._move(step, len(path))
        rows, num, first = self._rows, self._num, self._end
        if num == rows.shape[1]:
            rows = self._rows = np.concatenate((rows, np.zeros_like(rows)), axis=1)
        self._end = first + len(path)
        self._tokens[first : self._end] = path
        column = self._column_of(request_id)
        rows[:, column + 1 : num + 1] = rows[:, column:num]
        rows[:, column] = request_id, first - step, self._end - 1
        self._num = num + 1

    def _column_of(self, request_id: int) -> int:
        return int(self._rows[0, : self._num].searchsorted(request_id))

    def _move(self, step: int, num_tokens: int) -> None:
        """Forget what has been, and make room for so many more; at least half of it is free then."""
        zeros, lasts = self._rows[1, : self._num], self._rows[2, : self._num]
        firsts = zeros + step
        lengths = lasts + 1 - firsts
        begins = lengths.cumsum() - lengths
        end = int(lengths.sum())
        moved: Ints = np.zeros(max(2 * (end + num_tokens), len(self._tokens)), np.int64)
        moved[:end] = self._tokens[np.arange(end) + np.repeat(firsts - begins, lengths)]
        zeros += begins - firsts
        lasts += begins - firsts
        self._tokens, self._end = moved, end

    def path(self, request_id: int, step: int) -> Ints:
        """Of one sequence from that step on: what it has, and will have after each step; a view."""
        _, zero, last = self._rows[:, self._column_of(request_id)].tolist()
        return self._tokens[zero + step : last + 1]

    def remove(self, request_id: int, step: int) -> Ints:
        """It leaves at that step; returns its path from there on."""
        path, column = self.path(request_id, step), self._column_of(request_id)
        self._rows[:, column : self._num - 1] = self._rows[:, column + 1 : self._num]
        self._num -= 1
        return path

    def column(self, step: int) -> bytes:
        """What each has at that step, for a report; nothing if nobody is there."""
        ids, zeros = self._rows[0, : self._num], self._rows[1, : self._num]
        return pack_running(ids, self._tokens[zeros + step]) if self._num else b""
