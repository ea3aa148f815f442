"""Tokens that each step to come will bring to each die of an instance."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

_FIRST_COLUMNS: Final = 512


class TokenLedger:
    """Whoever joins adds what it will be brought, and who leaves takes back what it will not.

    Columns are steps, the first one that of `_first_step`.
    """

    def __init__(self, num_dies: int) -> None:
        self._brought = np.zeros((num_dies, _FIRST_COLUMNS), np.int32)
        self._first_step = 0

    def add(self, die: int, now: int, step: int, tokens: Ints) -> None:
        """So many from that step on, shape (num_steps,)."""
        if step + len(tokens) - self._first_step > self._brought.shape[1]:
            self._move(now, len(tokens))
        column = step - self._first_step
        self._brought[die, column : column + len(tokens)] += tokens

    def _move(self, now: int, num_columns: int) -> None:
        """What has been is forgotten, and there is room for so many steps from now on."""
        before = self._brought[:, now - self._first_step :]
        most = max(num_columns, before.shape[1])
        # At least half of it is free, so that this is rare.
        self._brought = np.zeros((len(before), max(2 * num_columns, self._brought.shape[1], most)), np.int32)
        self._brought[:, : before.shape[1]] = before
        self._first_step = now

    def brought(self, dies: Ints, step: int, num_steps: int) -> npt.NDArray[np.int32]:
        """By these dies and so many steps from that one on."""
        column = step - self._first_step
        return self._brought[dies, column : column + num_steps]
