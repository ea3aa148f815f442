"""What prompts add to the account of an instance that decodes."""

from __future__ import annotations

from workers.aggregated.step_cost import AggregatedEnergy


class PromptWork:
    """The energy of steps of sequences (a `DecodeEnergy`), to which what was computed of prompts since is added."""

    def __init__(self, energy: AggregatedEnergy) -> None:
        self._energy = energy
        self._forget()

    def use(self, energy: AggregatedEnergy) -> None:
        """From now on work draws this: all that was added was asked for."""
        self._energy = energy

    def _forget(self) -> None:
        self._passes = 0
        self._mixed_steps = 0
        self._computed_tokens = 0
        self._attention_pairs = 0

    def add(self, tokens: int, pairs: int, *, is_mixed: bool) -> None:
        """One step computed this of prompts; in a mixed one, sequences ran beside them."""
        self._passes += 1
        self._mixed_steps += is_mixed
        self._computed_tokens += tokens
        self._attention_pairs += pairs

    def joules(self, *, busy_ns: int, steps: int, sequence_steps: int, kv_token_steps: int, idle_ns: int) -> float:
        """Of a span with these steps of sequences and all that was added since the last one; of a mixed step weights
        are read once."""
        joules = self._energy.joules(
            busy_ns=busy_ns,
            steps=steps - self._mixed_steps,
            sequence_steps=sequence_steps,
            kv_token_steps=kv_token_steps,
            passes=self._passes,
            computed_tokens=self._computed_tokens,
            attention_pairs=self._attention_pairs,
            idle_ns=idle_ns,
        )
        self._forget()
        return joules
