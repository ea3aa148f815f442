"""What samples tell of how much an instance can do: learned from what instances did while they were at work.

An aggregated instance is both: its prompts are a queue whose server works while a step has any of them, and its steps
get longer with the prompts that each output token brings along. So it has a pace of each kind, and needs whichever of
the two counts is larger, as Dynamo's planner has it (`perf_model/agg.py`, `find_best_engine_agg_rps`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from scheduler.policies.scaling.parts import within
from scheduler.policies.scaling_view import DECODE, PREFILL, RoleSample, ScalingSample

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


def prefill_pace(samples: Sequence[ScalingSample], role: str = PREFILL) -> PrefillPace | None:
    """From the intervals in which passes ended, or steps that computed prompts; None from too few."""
    busy_s, tokens, pass_s = 0.0, 0, 0.0
    worked = [(sample, sample.roles[role]) for sample in samples if sample.roles[role].prompts.num_tokens]
    if len(worked) < LEAST_SAMPLES:
        return None
    for sample, of_role in worked:
        busy_s += of_role.prompts.busy_share * sample.length_s * (of_role.serving + of_role.draining)
        tokens += of_role.prompts.num_tokens
        pass_s += of_role.prompts.pass_s
    return PrefillPace(tokens / busy_s, pass_s / len(worked)) if busy_s else None


def decode_pace(
    samples: Sequence[ScalingSample], role: str = DECODE, prompts_per_output: float = 0.0
) -> DecodePace | None:
    """A straight line through (sequences of an instance, time between tokens) of steps without prompts; None from too
    few intervals. `prompts_per_output`: prompt tokens that its steps compute for each output token."""
    points: list[tuple[float, float]] = []
    kv_tokens = 0.0
    for sample in samples:
        of_role = sample.roles[role]
        if of_role.outputs.num_tokens and of_role.serving:
            points.append((_sequences(sample, of_role), of_role.outputs.alone_s or of_role.outputs.step_s))
            kv_tokens = of_role.kv_capacity_tokens / of_role.serving
    if len(points) < LEAST_SAMPLES:
        return None
    count = len(points)
    mean_n, mean_s = (sum(one[i] for one in points) / count for i in (0, 1))
    spread = sum((number - mean_n) ** 2 for number, _ in points)
    slope = sum((number - mean_n) * (step_s - mean_s) for number, step_s in points) / spread if spread else 0.0
    # More sequences never make a step shorter.
    slope = max(0.0, min(slope, mean_s / mean_n))
    alone = DecodePace(mean_s - slope * mean_n, slope, kv_tokens)
    if not prompts_per_output:
        return alone
    beside_s = prompts_per_output * _prompt_token_s(samples, role, alone)
    return DecodePace(alone.constant_s, alone.sequence_s + beside_s, kv_tokens)


def _prompt_token_s(samples: Sequence[ScalingSample], role: str, alone: DecodePace) -> float:
    """By how much longer a step is for each token of a prompt in it than one over its sequences alone."""
    added_s, tokens = 0.0, 0
    for sample in samples:
        of_role = sample.roles[role]
        there_s = sample.length_s * (of_role.serving + of_role.draining)
        added_s += of_role.prompts.busy_share * there_s
        if of_role.outputs.num_tokens:
            added_s -= of_role.outputs.mixed_steps * alone.step_s(_sequences(sample, of_role))
        tokens += of_role.prompts.num_tokens
    return max(0.0, added_s) / tokens if tokens else 0.0


def _sequences(sample: ScalingSample, of_role: RoleSample) -> float:
    """Of one instance, in the mean over an interval."""
    made_s = of_role.outputs.num_tokens * of_role.outputs.step_s
    return made_s / sample.length_s / (of_role.serving + of_role.draining)


class RoleLoad(Struct, frozen=True):
    """What comes to the instances of a role in a second, and what one of them can do; None of what it does nothing of
    that could be learned from."""

    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    prefill: PrefillPace | None
    decode: DecodePace | None


def role_loads(samples: Sequence[ScalingSample], comes: Demand | None) -> Mapping[str, RoleLoad] | None:
    """What comes, divided over roles as the work of all samples was; None if nothing is known of it, or of anybody who
    computes prompts or decodes."""
    if comes is None:
        return None
    roles, loads = samples[-1].roles, dict[str, RoleLoad]()
    computed = {role: sum(sample.roles[role].prompts.num_tokens for sample in samples) for role in roles}
    made = {role: sum(sample.roles[role].outputs.num_tokens for sample in samples) for role in roles}
    for role in roles:
        prompts = comes.prefill_tokens_per_s * computed[role] / max(1, sum(computed.values()))
        outputs = comes.decode_tokens_per_s * made[role] / max(1, sum(made.values()))
        prefill, decode = prefill_pace(samples, role), decode_pace(samples, role, prompts / outputs if outputs else 0.0)
        loads[role] = RoleLoad(prompts, outputs, prefill, decode)
    if not (any(one.prefill for one in loads.values()) and any(one.decode for one in loads.values())):
        return None
    return loads
