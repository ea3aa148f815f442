"""What samples tell of how much an instance can do: learned from what instances did while they were at work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from scheduler.policies.scaling.parts import within
from scheduler.policies.scaling_view import DECODE, PREFILL, ScalingSample

LEAST_SAMPLES: Final = 4
"""With work in them; from fewer nothing is concluded."""

SURE: Final = 4.0

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


def demand(samples: Sequence[ScalingSample], window_s: float, lead_s: float) -> Demand | None:
    """What will come `lead_s` after the last sample: the mean of the last `window_s` and, if all samples show that more
    and more comes, as much more. None if nothing is known of requests.

    Requests are counted as they arrive, not as they are served. What is cached of prompts is counted in tokens: a mean
    of shares would let short prompts speak for long ones.
    """
    first_tokens = sum(sample.first_tokens for sample in samples)
    if not first_tokens:
        return None
    prompts = sum(sample.prompt_tokens for sample in samples)
    uncached = 1.0 - sum(sample.cached_tokens for sample in samples) / max(1, prompts)
    finished = sum(sample.finished_requests for sample in samples)
    outputs = sum(sample.output_tokens for sample in samples) / max(1, finished)
    recent, now_s = within(samples, window_s), samples[-1].at_s
    span_s = sum(sample.length_s for sample in recent)
    ahead_s = lead_s + span_s / 2
    requests_per_s = sum(sample.arrived_requests for sample in recent) / span_s
    tokens_per_s = sum(sample.arrived_tokens for sample in recent) / span_s
    requests_per_s += ahead_s * rise([(one.at_s - now_s, one.arrived_requests / one.length_s) for one in samples])
    tokens_per_s += ahead_s * rise([(one.at_s - now_s, one.arrived_tokens / one.length_s) for one in samples])
    return Demand(
        uncached * tokens_per_s,
        outputs * requests_per_s,
        uncached * prompts / first_tokens,
        prompts / first_tokens + outputs / 2,
    )


def rise(points: Sequence[tuple[float, float]]) -> float:
    """By how much a rate rises a second, of points (time, rate); 0 if it falls, or might as well not rise: a slope less
    than `SURE` times its standard error is noise."""
    count = len(points)
    if count < LEAST_SAMPLES:
        return 0.0
    mean_t, mean = (sum(one[i] for one in points) / count for i in (0, 1))
    spread = sum((time - mean_t) ** 2 for time, _ in points)
    slope = sum((time - mean_t) * (rate - mean) for time, rate in points) / spread
    left = sum((rate - mean - slope * (time - mean_t)) ** 2 for time, rate in points)
    error = (left / (count - 2) / spread) ** 0.5
    return slope if slope > SURE * error else 0.0


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
