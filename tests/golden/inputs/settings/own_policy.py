"""Routing policies of a user's own, for golden cases: they import nothing, as their file is no part of the project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Sticky:
    """Whoever holds enough of the prompt, else the fewest outstanding tokens."""

    context: Any
    least_match: float = 0.5
    reason = "sticky: holds enough of the prompt, or fewest outstanding tokens"

    def choose(self, stage: Any, request: Any) -> int:
        """An index of the instances of `stage`."""
        longest = max(request.held_tokens)
        if longest > self.least_match * request.total_tokens:
            return list(request.held_tokens).index(longest)
        loads = list(stage.outstanding_tokens)
        return loads.index(min(loads))


class Pairs:
    """An instance of each stage at once; the decode instance is the last with the fewest."""

    def choose(self, stage: Any, request: Any) -> int:
        """An index of the instances of `stage`, the last of those with the fewest outstanding tokens."""
        loads = list(stage.outstanding_tokens)
        return max(index for index, load in enumerate(loads) if load == min(loads))

    def choose_pair(self, prefill: Any, decode: Any, request: Any) -> tuple[int, int]:
        """An index of each stage."""
        return self.choose(prefill, request), self.choose(decode, request)


class Broken:
    """Raises for every third request and names who is not there for others."""

    def __init__(self) -> None:
        self.asked = 0

    def choose(self, stage: Any, request: Any) -> int:
        """Mostly 0."""
        self.asked += 1
        if self.asked % 3 == 0:
            raise ValueError("the third is too many")
        return 99 if self.asked % 3 == 1 else 0
