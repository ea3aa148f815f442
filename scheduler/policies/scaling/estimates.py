"""What samples tell of how much an instance can do: learned from what instances did while they were at work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from scheduler.policies.scaling_view import DECODE, PREFILL, ScalingSample, ScalingView

LEAST_SAMPLES: Final = 4
"""With work in them; from fewer nothing is concluded."""

KV_SHARE: Final = 0.8
"""Of KV room, what is planned to be full."""


class Demand(Struct, frozen=True):
    """What comes in a second: uncached prompt tokens for prefill, output tokens for decode."""

    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    prompt_tokens: float
    """Uncached, of a request."""
    context_tokens: float
    """KV of a request half way through its output."""


class PrefillPace(Struct, frozen=True):
    """Of one instance: tokens in a second in which it is busy, and how long one of its passes takes."""

    tokens_per_s: float
    pass_s: float


class DecodePace(Struct, frozen=True):
    """Of one instance: a step takes `constant_s` and `sequence_s` for each sequence; it holds `kv_tokens`."""

    constant_s: float
    sequence_s: float
    kv_tokens: float

    def step_s(self, sequences: float) -> float:
        """Time between tokens with so many sequences."""
        return self.constant_s + self.sequence_s * sequences

    def tokens_per_s(self, tpot_limit_s: float, context_tokens: float) -> float:
        """The most that it makes within a limit between tokens and its KV room; 0 if it cannot."""
        most = KV_SHARE * self.kv_tokens / max(1.0, context_tokens)
        if self.sequence_s > 0:
            most = min(most, (tpot_limit_s - self.constant_s) / self.sequence_s)
        return most / self.step_s(most) if most > 0 else 0.0


def demand(view: ScalingView, window_s: float, lead_s: float) -> Demand | None:
    """What will come `lead_s` from now if the trend of the last window goes on, never less than nothing; None if
    nothing is known of requests.

    Requests are counted as they arrive, not as they are served. What is cached of prompts is counted in tokens: a mean
    of shares would let short prompts speak for long ones.
    """
    recent, long = view.last(window_s), view.samples
    first_tokens = sum(sample.first_tokens for sample in long)
    if not first_tokens:
        return None
    prompts = sum(sample.prompt_tokens for sample in long)
    uncached = 1.0 - sum(sample.cached_tokens for sample in long) / max(1, prompts)
    finished = sum(sample.finished_requests for sample in long)
    outputs = sum(sample.output_tokens for sample in long) / max(1, finished)
    rates = [(sample.at_s, sample.arrived_requests / sample.length_s) for sample in recent]
    tokens = [(sample.at_s, sample.arrived_tokens / sample.length_s) for sample in recent]
    ahead_s = view.now.at_s + lead_s
    requests_per_s = ahead(rates, ahead_s)
    return Demand(
        uncached * ahead(tokens, ahead_s),
        outputs * requests_per_s,
        uncached * prompts / first_tokens,
        prompts / first_tokens + outputs / 2,
    )


def ahead(points: Sequence[tuple[float, float]], at_s: float) -> float:
    """The mean of points (time, rate), or what a straight line through them comes to at a time if that is more."""
    count = len(points)
    mean_t, mean = (sum(one[i] for one in points) / count for i in (0, 1))
    spread = sum((time - mean_t) ** 2 for time, _ in points)
    if not spread:
        return mean
    slope = sum((time - mean_t) * (rate - mean) for time, rate in points) / spread
    # A trend of a few points is mostly noise: it counts where it is more than what they scatter.
    scatter = (sum((rate - mean - slope * (time - mean_t)) ** 2 for time, rate in points) / count) ** 0.5
    rise = slope * (at_s - mean_t)
    return mean + rise if rise > 2 * scatter else mean


def prefill_pace(samples: Sequence[ScalingSample]) -> PrefillPace | None:
    """From the intervals in which passes ended; None from too few."""
    busy_s, tokens, pass_s = 0.0, 0, 0.0
    worked = [(sample, sample.roles[PREFILL]) for sample in samples if sample.roles[PREFILL].num_tokens]
    if len(worked) < LEAST_SAMPLES:
        return None
    for sample, role in worked:
        busy_s += role.busy_share * sample.length_s * (role.serving + role.draining)
        tokens += role.num_tokens
        pass_s += role.step_s
    return PrefillPace(tokens / busy_s, pass_s / len(worked)) if busy_s else None


def decode_pace(samples: Sequence[ScalingSample]) -> DecodePace | None:
    """A straight line through (sequences of an instance, time between tokens); None from too few intervals."""
    points: list[tuple[float, float]] = []
    kv_tokens = 0.0
    for sample in samples:
        role = sample.roles[DECODE]
        there = role.serving + role.draining
        if role.num_tokens and there and role.serving:
            points.append((role.num_tokens * role.step_s / sample.length_s / there, role.step_s))
            kv_tokens = role.kv_capacity_tokens / role.serving
    if len(points) < LEAST_SAMPLES:
        return None
    count = len(points)
    mean_n, mean_s = (sum(one[i] for one in points) / count for i in (0, 1))
    spread = sum((number - mean_n) ** 2 for number, _ in points)
    slope = sum((number - mean_n) * (step_s - mean_s) for number, step_s in points) / spread if spread else 0.0
    # More sequences never make a step shorter.
    slope = max(0.0, min(slope, mean_s / mean_n))
    return DecodePace(mean_s - slope * mean_n, slope, kv_tokens)
