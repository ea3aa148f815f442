"""What an aggregated instance asks of the hardware model: how long its steps last, and what they cost in energy."""

from __future__ import annotations

from typing import Protocol

from sim_hw.instance.compiled_decode import StepForm


class AggregatedCost(Protocol):
    """The length of steps over sequences, over chunks of prompts, and over both."""

    def form(self, num_running: int, kv_tokens: int) -> StepForm:
        """Of steps over sequences alone, as of decode."""
        ...

    def prefill_ns(self, computed_tokens: int, attention_pairs: int, cached_tokens: int) -> int:
        """Of a step over chunks of prompts alone, as a pass of prefill."""
        ...

    def mixed_ps(self, decode_ps: int, prefill_ns: int, num_running: int, computed_tokens: int) -> int:
        """Picoseconds of a step over both, whose parts alone would last so long."""
        ...


class AggregatedEnergy(Protocol):
    """Joules of a whole instance from integer totals, so that they do not depend on how steps were grouped."""

    def joules(
        self,
        *,
        busy_ns: int,
        steps: int,
        sequence_steps: int,
        kv_token_steps: int,
        passes: int,
        computed_tokens: int,
        attention_pairs: int,
        idle_ns: int,
    ) -> float:
        """Energy of busy and idle time with so many `steps` of sequences alone and `passes` in which prompts were
        computed, beside sequences or not; the other totals are over both."""
        ...
