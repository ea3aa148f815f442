"""The energy of the made-up engines."""

from __future__ import annotations

from tests.naive.case import (
    BUSY_WATTS,
    COMPUTED_JOULES,
    IDLE_WATTS,
    PAIR_JOULES,
    PASS_JOULES,
    SEQUENCE_JOULES,
    STEP_JOULES,
)


class LinearEnergy:
    """Whole joules (as if a nanosecond were a second), so that sums are exact and their order does not matter."""

    def __init__(self, busy_watts: int = BUSY_WATTS) -> None:
        self._busy_watts = busy_watts

    def joules(
        self,
        *,
        busy_ns: int,
        idle_ns: int,
        passes: int = 0,
        computed_tokens: int = 0,
        attention_pairs: int = 0,
        steps: int = 0,
        sequence_steps: int = 0,
        kv_token_steps: int = 0,
    ) -> float:
        """The integral of two powers and of what each piece of work costs."""
        work = PASS_JOULES * passes + COMPUTED_JOULES * computed_tokens + PAIR_JOULES * attention_pairs
        work += STEP_JOULES * steps + SEQUENCE_JOULES * sequence_steps + kv_token_steps
        return float(self._busy_watts * busy_ns + IDLE_WATTS * idle_ns + work)
