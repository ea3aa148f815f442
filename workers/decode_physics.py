"""What a decode instance must be told of its hardware."""

from __future__ import annotations

from typing import Protocol

from sim_hw.engine.compiled_decode import StepForm


class DecodeEnergy(Protocol):
    """Joules of a whole instance from integer totals, so that they do not depend on how steps were grouped."""

    def joules(self, *, busy_ns: int, steps: int, sequence_steps: int, kv_token_steps: int, idle_ns: int) -> float:
        """Energy of busy and idle time with so many steps, in which so many sequences and tokens of KV were read."""
        ...


class DecodeCost(Protocol):
    """How long steps last."""

    def form(self, num_running: int, kv_tokens: int) -> StepForm:
        """From now on until membership changes, for so many sequences and tokens of KV on all dies together."""
        ...
