"""What one aggregated instance yields in the steady state, what lies in its memory, and how sure that is."""

from __future__ import annotations

from bisect import bisect_left

from msgspec import Struct
from msgspec.structs import replace

from sim_hw.chips.calibration import CalibratedChip
from sim_hw.chips.chip import Chip
from sim_hw.chips.fit import ChipFit
from sim_hw.chips.sheet import fit_of, rivals_of
from sim_hw.errors import TargetError
from sim_hw.operators.error_bar import error_bar
from sim_hw.steps.aggregated_step import (
    AggregatedPoint,
    aggregated_steps,
    full_step,
    idle_ttft_s,
    with_batch,
)
from sim_hw.steps.die_memory import check_aggregated, largest_aggregated_fit


class AggregatedPrediction(Struct, frozen=True):
    """`iteration_s` is the mean over steps with prompts and without; `exposed_s` sums to it."""

    tokens_per_s_per_npu: float
    """Output tokens."""
    prompt_tokens_per_s_per_npu: float
    """Cached ones included."""
    requests_per_s: float
    """Of the instance."""
    ttft_s: float
    """Of a prompt that finds the instance idle."""
    tpot_s: float
    iteration_s: float
    decode_step_s: float
    """A step without a prompt."""
    mixed_step_s: float
    """With the mean chunk of those that have one."""
    full_step_s: float
    """With as many tokens of prompts as the budget leaves: the longest time between two tokens."""
    mixed_share: float
    """Of all steps, those with a chunk."""
    chunk_tokens_per_npu: float
    """Of those, in the mean."""
    operators_s: dict[str, float]
    """Of the mean step."""
    exposed_s: dict[str, float]
    memory_bytes_per_die: dict[str, float]
    error_bar: float


def predict_aggregated(point: AggregatedPoint) -> AggregatedPrediction:
    """Raises a `HardwareModelError` for a point that cannot exist, does not fit or has no steady state."""
    point.check()
    memory = check_aggregated(point.decode, point.prefill)
    steps = aggregated_steps(point)
    iteration_s, num_npus, chip = steps.mean.seconds, point.decode.num_npus, point.decode.chip
    requests_per_s = point.prompts_per_step / iteration_s
    rivals = [aggregated_steps(point, fit).mean.seconds for fit in _rivals(chip)]
    return AggregatedPrediction(
        tokens_per_s_per_npu=requests_per_s * point.output_tokens / num_npus,
        prompt_tokens_per_s_per_npu=requests_per_s * point.prefill.prompt_tokens / num_npus,
        requests_per_s=requests_per_s,
        ttft_s=idle_ttft_s(point),
        tpot_s=tpot_s(point),
        iteration_s=iteration_s,
        decode_step_s=steps.plain.seconds,
        mixed_step_s=steps.mixed.seconds,
        full_step_s=full_step(point).seconds,
        mixed_share=steps.mixed_share,
        chunk_tokens_per_npu=steps.chunk_tokens / num_npus,
        operators_s=steps.mean.busy_s,
        exposed_s=steps.mean.exposed_s,
        memory_bytes_per_die=memory.parts_bytes,
        error_bar=max(
            error_bar(chip, stage, iteration_s, rivals, point.decode.model) for stage in ("prefill", "decode")
        ),
    )


def _rivals(chip: Chip) -> list[ChipFit]:
    """Without the constant of a pass that a rival has in place of handling of cached tokens: it is as long as several
    steps, and services that compute prompts in chunks beside sequences pay it in none (row atlas800ia2-r1-vllm-1024).
    One that a user measured stays."""
    rivals = list(rivals_of(chip))
    if isinstance(chip, CalibratedChip):
        return rivals
    return [replace(rival, pass_s=fit_of(chip).pass_s) for rival in rivals]


def tpot_s(point: AggregatedPoint) -> float:
    """Mean time from one token of a request to the next."""
    return aggregated_steps(point).mean.seconds * point.steps_per_request / (point.output_tokens - 1)


def largest_aggregated_batch(point: AggregatedPoint, tpot_slo_s: float = float("inf")) -> AggregatedPoint:
    """`point` with the most requests per NPU that fit, whose prompts can be computed beside them, and whose TPOT is at
    most `tpot_slo_s`.

    Raises `TargetError` if one request is too slow already, another `HardwareModelError` if it does not fit.
    """
    one = with_batch(point, 1)
    one.check()
    check_aggregated(one.decode, one.prefill)
    if tpot_s(one) > tpot_slo_s:
        raise TargetError(
            f"TPOT is {tpot_s(one) * 1e3:.1f} ms even at a batch of 1, {tpot_slo_s * 1e3:.1f} ms asked for: "
            "raise --tpot-slo, lower --prompt or change --npus"
        )
    most = min(largest_aggregated_fit(one.decode, one.prefill), one.most_balanced_batch)
    if tpot_slo_s == float("inf"):
        return with_batch(point, max(1, most))
    # TPOT never falls with batch, so the batches that meet the target come first.
    batches = range(1, most + 1)
    too_slow = bisect_left(batches, True, key=lambda batch: tpot_s(with_batch(point, batch)) > tpot_slo_s)
    return with_batch(point, too_slow)
