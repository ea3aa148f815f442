"""What a decode instance keeps of a running sequence, and of those who leave at one boundary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(slots=True, eq=False)
class Sequence:
    """A running sequence. It holds `base_tokens + G(step)` tokens of KV and has produced `base_produced + G(step)`."""

    request_id: int
    die: int
    join_order: int
    base_tokens: int
    base_produced: int
    output_tokens: int
    finish_step: int
    """Sooner than its output needs where it was cancelled."""
    blocks: int
    running: bool = True


class Departures:
    """Who leaves at one boundary, by request id and in order; those who were cut have finished, too."""

    __slots__ = ("cut_ids", "finished_ids", "finished_tokens", "preempted")

    def __init__(self) -> None:
        self.finished_ids: list[int] = []
        self.finished_tokens: list[int] = []
        self.cut_ids: list[int] = []
        self.preempted: list[Sequence] = []


NOBODY: Final = Departures()
"""For boundaries at which nobody leaves: nothing is ever added to it."""
