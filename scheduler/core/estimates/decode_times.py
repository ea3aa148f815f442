"""What steps of decode instances will take, learned from their reports alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from scheduler.core.estimates.linear_fit import LinearFit
from scheduler.core.estimates.prediction_error import PredictionError
from scheduler.protocol.messages import DecodeStepped, InstanceProfiled

PRIOR: Final = (10.0, 1.0, 1.0)
"""Before the first report: 10 ms, 10 us for a sequence, 1 us for a thousand tokens of KV; place-holders that rank."""


class DecodeTimes:
    """Predicts the time per output token of an instance with so many sequences and so much KV.

    A step is taken to last `t0 + t1 sequences + t2 KV tokens`, by least squares over first and last steps of each
    report; instances of the same size share the coefficients.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        fits = {size: LinearFit(PRIOR) for size in sizes}
        self._fits: Final = [fits[size] for size in sizes]
        self._kv_tokens: Final = [0] * len(sizes)
        self._num_steps = 0
        self._num_tokens = 0.0
        self.error: Final = PredictionError()
        """Of step lengths, counted once there are samples."""

    def take_profile(self, instance: int, profile: InstanceProfiled) -> None:
        """Steps that were measured before the run, at an instance that stands for all of its size."""
        fit = self._fits[instance]
        for sequences, kv_tokens, taken_ns in zip(
            profile.sequences, profile.context_tokens, profile.taken_ns, strict=True
        ):
            fit.learn((1.0, sequences / 100, kv_tokens / 1e6), taken_ns / 1e6)
        self._num_steps += profile.num_steps
        self._num_tokens += profile.tokens_per_sequence

    def num_samples(self, instance: int) -> int:
        """Steps behind a prediction."""
        return self._fits[instance].num_samples

    def tpot_ns(self, instance: int, num_sequences: int, kv_tokens: int) -> float:
        """Predicted time per output token."""
        step_ns = 1e6 * self._fits[instance].predict((1.0, num_sequences / 100, kv_tokens / 1e6))
        return step_ns * self._num_steps / self._num_tokens if self._num_tokens else step_ns

    def lose(self, instance: int) -> None:
        """All that it held is gone."""
        self._kv_tokens[instance] = 0

    def observe(self, instance: int, message: DecodeStepped) -> None:
        """A run of steps."""
        kv_tokens, steps = self._kv_tokens[instance], message.num_steps
        self._kv_tokens[instance] = message.kv_tokens
        if not steps or not message.num_running:
            return
        self._num_steps += steps
        self._num_tokens += message.mean_tokens
        self._learn(instance, message.num_running, kv_tokens, message.first_step_ns)
        if steps > 1:
            grown = message.num_tokens * (steps - 1) // steps
            self._learn(instance, message.num_running, kv_tokens + grown, message.last_step_ns)

    def _learn(self, instance: int, num_running: int, kv_tokens: int, step_ns: int) -> None:
        fit, features = self._fits[instance], (1.0, num_running / 100, kv_tokens / 1e6)
        if fit.num_samples > len(PRIOR):
            self.error.note(1e6 * fit.predict(features), step_ns)
        fit.learn(features, step_ns / 1e6)
