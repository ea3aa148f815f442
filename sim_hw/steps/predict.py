"""Predictions: throughput, latency, time by operator, memory and an error bar at one operating point."""

from __future__ import annotations

from bisect import bisect_left

from msgspec import Struct
from msgspec.structs import replace

from sim_hw.chips.fit import ChipFit
from sim_hw.chips.sheet import fit_of, rivals_of
from sim_hw.clusters.supernode import Supernode
from sim_hw.errors import OperatingPointError, TargetError
from sim_hw.operators.collectives import CollectiveName, ExpertAllToAll
from sim_hw.operators.error_bar import error_bar
from sim_hw.operators.operating_point import DecodePoint, PrefillPoint
from sim_hw.steps.decode_step import decode_step
from sim_hw.steps.die_memory import check_decode, check_prefill, largest_fitting_batch
from sim_hw.steps.prefill_pass import prefill_pass, prompt_passes
from sim_hw.steps.work import decode_work, prefill_work

OPERATOR_HIDDEN = 7168
"""Elements of a token row in the published rows of dispatch and combine."""

OPERATOR_MESSAGES = 8
"""Ranks that a token row goes to in those rows."""


class DecodePrediction(Struct, frozen=True):
    """`exposed_s` sums to `iteration_s`; `layer_s` is one expert layer (dense layer of a dense model)."""

    tokens_per_s_per_npu: float
    tpot_s: float
    iteration_s: float
    layer_s: float
    operators_s: dict[str, float]
    """Busy time of a step by operator, hidden time included."""
    exposed_s: dict[str, float]
    memory_bytes_per_die: dict[str, float]
    compute_share: float
    """Of the peak FLOP/s, in whatever precision is used (MFU)."""
    memory_share: float
    """Of the peak HBM bandwidth."""
    clock_bound_share: float
    """Of the step, what stretches when the clock falls (`sim_hw.power.clock_scaling`)."""
    is_split: bool
    """Into two micro-batches: done only where it is faster."""
    attention_cores: int | None
    """Cube cores of the attention stream; None where the batch is not split or its streams are not given cores."""
    error_bar: float
    """Relative, of throughput and TPOT."""


class PrefillPrediction(Struct, frozen=True):
    """`exposed_s` sums to `pass_s`."""

    tokens_per_s_per_npu: float
    """Prompt tokens, cached ones included."""
    ttft_s: float
    """Of prompts that find the instance idle: the pass itself, or as many as a prompt of more tokens takes."""
    pass_s: float
    layer_s: float
    operators_s: dict[str, float]
    exposed_s: dict[str, float]
    memory_bytes_per_die: dict[str, float]
    compute_share: float
    memory_share: float
    clock_bound_share: float
    """As of decode."""
    error_bar: float


class OperatorPrediction(Struct, frozen=True):
    """One call of dispatch or combine; `bytes_per_s` counts bytes as the published tables do."""

    latency_s: float
    bytes_per_s: float
    error_bar: float


def predict_decode(point: DecodePoint) -> DecodePrediction:
    """Raises a `HardwareModelError` for a point that cannot exist or does not fit."""
    point.check()
    memory = check_decode(point)
    step = decode_step(point)
    work = decode_work(point, is_split=step.is_split)
    iteration_s = step.step.seconds
    tpot_s = iteration_s / point.tokens_per_iteration
    rivals = [decode_step(point, fit).step.seconds for fit in rivals_of(point.chip)]
    return DecodePrediction(
        tokens_per_s_per_npu=point.batch_per_npu / tpot_s,
        tpot_s=tpot_s,
        iteration_s=iteration_s,
        layer_s=step.layer.seconds,
        operators_s=step.step.busy_s,
        exposed_s=step.step.exposed_s,
        memory_bytes_per_die=memory.parts_bytes,
        compute_share=work.compute_s / iteration_s,
        memory_share=work.memory_s / iteration_s,
        clock_bound_share=min(1.0, work.clock_bound_s / iteration_s),
        is_split=step.is_split,
        attention_cores=step.attention_cores,
        error_bar=error_bar(point.chip, "decode", iteration_s, rivals, point.model),
    )


def predict_prefill(point: PrefillPoint) -> PrefillPrediction:
    """Raises a `HardwareModelError` for a point that cannot exist or does not fit."""
    point.check()
    memory = check_prefill(point)
    found = prefill_pass(point)
    work = prefill_work(point)
    pass_s = found.whole.seconds
    rivals = [prefill_pass(point, fit).whole.seconds for fit in rivals_of(point.chip)]
    return PrefillPrediction(
        tokens_per_s_per_npu=point.batch_tokens_per_npu / pass_s,
        ttft_s=pass_s * prompt_passes(point),
        pass_s=pass_s,
        layer_s=found.layer.seconds,
        operators_s=found.whole.busy_s,
        exposed_s=found.whole.exposed_s,
        memory_bytes_per_die=memory.parts_bytes,
        compute_share=work.compute_s / pass_s,
        memory_share=work.memory_s / pass_s,
        clock_bound_share=min(1.0, work.clock_bound_s / pass_s),
        error_bar=error_bar(point.chip, "prefill", pass_s, rivals, point.model),
    )


def predict_operator(name: CollectiveName, cluster: Supernode, ep: int, tokens_per_rank: int) -> OperatorPrediction:
    """Dispatch or combine of rows of 7,168 elements to eight ranks each, as in the published rows.

    Raises `OperatingPointError` if `cluster` has fewer than `ep` ranks or there is nothing to send.
    """
    if not 2 <= ep <= cluster.num_dies:
        raise OperatingPointError(
            f"{cluster.name} exchanges between 2 to {cluster.num_dies} ranks, not {ep}: change --ep"
        )
    if tokens_per_rank < 1:
        raise OperatingPointError(f"{tokens_per_rank} tokens per rank: give --batch 1 or more")
    fit = fit_of(cluster.chip)
    latency_s = all_to_all_s(name, cluster, fit, ep, tokens_per_rank)
    rivals = [all_to_all_s(name, cluster, rival, ep, tokens_per_rank) for rival in rivals_of(cluster.chip)]
    bytes_per_s = counted_bytes(name, cluster, ep, tokens_per_rank) / latency_s
    return OperatorPrediction(latency_s, bytes_per_s, error_bar(cluster.chip, "operator", latency_s, rivals))


def counted_bytes(name: CollectiveName, cluster: Supernode, ep: int, tokens_per_rank: int) -> float:
    """Bytes of one call as the published tables count them."""
    fit = fit_of(cluster.chip)
    collective = fit.dispatch if name == "dispatch" else fit.combine
    return collective.counted_bytes.value * _all_to_all(cluster, fit, ep).payload_bytes(name, tokens_per_rank)


def all_to_all_s(name: CollectiveName, cluster: Supernode, fit: ChipFit, ep: int, tokens_per_rank: int) -> float:
    """Seconds of one call with these numbers."""
    return _all_to_all(cluster, fit, ep).seconds(name, tokens_per_rank)


def _all_to_all(cluster: Supernode, fit: ChipFit, ep: int) -> ExpertAllToAll:
    return ExpertAllToAll(cluster, fit, ep, OPERATOR_HIDDEN, OPERATOR_MESSAGES)


def largest_batch(point: DecodePoint, tpot_slo_s: float) -> DecodePoint:
    """`point` with the largest batch per NPU that fits and whose TPOT is at most `tpot_slo_s`.

    Raises `TargetError` if a batch of 1 is too slow already, `DoesNotFitError` if it does not fit.
    """
    one = replace(point, batch_per_npu=1)
    one.check()
    check_decode(one)

    def tpot_s(batch: int) -> float:
        at_batch = replace(point, batch_per_npu=batch)
        return decode_step(at_batch).step.seconds / at_batch.tokens_per_iteration

    if tpot_s(1) > tpot_slo_s:
        raise TargetError(
            f"TPOT is {tpot_s(1) * 1e3:.1f} ms even at a batch of 1, {tpot_slo_s * 1e3:.1f} ms asked for: "
            "raise --tpot-slo, lower --context or change --ep"
        )
    # TPOT never falls with batch, so the batches that meet the target come first.
    batches = range(1, largest_fitting_batch(point) + 1)
    too_slow = bisect_left(batches, True, key=lambda batch: tpot_s(batch) > tpot_slo_s)
    return replace(point, batch_per_npu=too_slow)
