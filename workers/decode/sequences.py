"""What a decode instance keeps of a running sequence, and of those who leave at one boundary."""

from __future__ import annotations

from typing import Final


class Sequence:
    """A running sequence, which a batch takes in: `base_tokens` and `base_produced` are what it holds of KV and has
    produced less what that counts since, which is G(step) of the expectation (`expected_tokens`).

    `finish_step` is sooner than its output needs where it was cancelled.
    """

    # No dataclass: the constructor of one stays Python where this module is compiled.
    __slots__ = (
        "base_produced",
        "base_tokens",
        "blocks",
        "die",
        "finish_step",
        "join_order",
        "output_tokens",
        "request_id",
        "running",
    )

    def __init__(
        self,
        request_id: int,
        die: int,
        join_order: int,
        output_tokens: int,
        blocks: int,
    ) -> None:
        self.request_id = request_id
        self.die = die
        self.join_order = join_order
        self.base_tokens = 0
        self.base_produced = 0
        self.output_tokens = output_tokens
        self.finish_step = 0
        self.blocks = blocks
        self.running = True


class Departures:
    """Who leaves at one boundary, by request id and in order; those who were cut have finished, too."""

    __slots__ = ("cut_ids", "finished_ids", "finished_tokens", "preempted_ids", "preempted_tokens")

    def __init__(self) -> None:
        self.finished_ids: list[int] = []
        self.finished_tokens: list[int] = []
        self.cut_ids: list[int] = []
        self.preempted_ids: list[int] = []
        self.preempted_tokens: list[int] = []


NOBODY: Final = Departures()
"""For boundaries at which nobody leaves: nothing is ever added to it."""
