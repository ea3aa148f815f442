"""A decode step with attention and experts on different NPUs: what it yields, memory of each side, how sure it is."""

from __future__ import annotations

from math import hypot
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sim_hw.chips.sheet import fit_of, rivals_of
from sim_hw.errors import DoesNotFitError
from sim_hw.figure import Confidence, Figure
from sim_hw.operators.collectives import ExpertAllToAll
from sim_hw.operators.error_bar import error_bar
from sim_hw.operators.layout import expert_layout
from sim_hw.steps.afd_step import AfdPoint, afd_step
from sim_hw.steps.die_memory import DieMemory, decode_memory

UNMEASURED_SPLIT_ERROR: Final = Figure(
    0.20, "1", "assumed: the one published row of such a step is of a model with other layers", Confidence.ESTIMATE
)


class AfdPrediction(Struct, frozen=True):
    """As `DecodePrediction`; rates are of all NPUs, both sides together."""

    tokens_per_s_per_npu: float
    tpot_s: float
    iteration_s: float
    layer_s: float
    operators_s: dict[str, float]
    exposed_s: dict[str, float]
    attention_memory_bytes_per_die: dict[str, float]
    ffn_memory_bytes_per_die: dict[str, float]
    microbatches: int
    attention_busy_share: float
    """Of an expert layer; the rest of it that side waits."""
    ffn_busy_share: float
    bound_by: str
    error_bar: float


def predict_afd(point: AfdPoint) -> AfdPrediction:
    """Raises a `HardwareModelError` for a point that cannot exist or does not fit."""
    point.check()
    attention, ffn = check_afd(point)
    found = afd_step(point)
    iteration_s = found.step.seconds
    tpot_s = iteration_s / point.tokens_per_iteration
    rivals = [afd_step(point, fit).step.seconds for fit in rivals_of(point.chip)]
    bar = error_bar(point.chip, "decode", iteration_s, rivals, point.model)
    return AfdPrediction(
        tokens_per_s_per_npu=point.batch_per_npu * point.num_npus / tpot_s / (point.num_npus + point.ffn_npus),
        tpot_s=tpot_s,
        iteration_s=iteration_s,
        layer_s=found.layer.seconds,
        operators_s=found.step.busy_s,
        exposed_s=found.step.exposed_s,
        attention_memory_bytes_per_die=attention.parts_bytes,
        ffn_memory_bytes_per_die=ffn.parts_bytes,
        microbatches=found.microbatches,
        attention_busy_share=found.attention_busy_share,
        ffn_busy_share=found.ffn_busy_share,
        bound_by=found.bound_by,
        error_bar=hypot(bar, UNMEASURED_SPLIT_ERROR.value),
    )


def afd_memory(point: AfdPoint) -> tuple[DieMemory, DieMemory]:
    """Of a die of attention and one of experts, without asking whether they fit.

    A row has a place for each of its experts on the way out and back, on both sides.
    """
    whole, layout, shape = decode_memory(point), expert_layout(point), point.model
    assert layout is not None
    parts = dict(whole.parts_bytes)
    experts_bytes = parts.pop("weights_experts")
    drafted_bytes = experts_bytes / shape.moe_layers * shape.mtp_layers if "weights_mtp" in parts else 0.0
    if drafted_bytes:
        parts["weights_mtp"] -= drafted_bytes
    all_to_all = ExpertAllToAll(point.cluster, fit_of(point.chip), point.ep, shape.hidden, 1)
    row_bytes = all_to_all.message_bytes("dispatch") + all_to_all.message_bytes("combine")
    rows = point.requests_per_rank * point.rows_per_request
    parts["buffers"] = rows * shape.experts_per_token * row_bytes
    copies = min(shape.experts_per_token, layout.slots_per_rank)
    of_experts = {
        "weights_experts": experts_bytes + drafted_bytes,
        "buffers": point.num_ranks * rows * copies * row_bytes,
        "reserve": parts["reserve"],
    }
    return DieMemory(parts, whole.capacity_bytes), DieMemory(of_experts, whole.capacity_bytes)


def check_afd(point: AfdPoint) -> tuple[DieMemory, DieMemory]:
    """The memory maps of both sides. Raises `DoesNotFitError` with what would fit."""
    attention, ffn = afd_memory(point)
    for side, memory, other in (("attention", attention, "A"), ("experts", ffn, "F")):
        if not memory.fits:
            batch = _largest_batch(point)
            fix = f"lower --batch to {batch}" if batch else f"raise {other} of --afd, or take a cluster with more HBM"
            raise DoesNotFitError(
                f"a die of {side} needs {memory.needed_bytes / 1e9:.1f} GB, {memory.capacity_bytes / 1e9:.0f} GB "
                f"available: {fix}"
            )
    return attention, ffn


def _largest_batch(point: AfdPoint) -> int:
    """Requests for each NPU of attention with which both sides fit; 0 if not even one request a die does."""
    dies = point.chip.num_dies.count
    one, two = (afd_memory(replace(point, batch_per_npu=count * dies)) for count in (1, 2))
    fitting = [
        int((first.capacity_bytes - first.needed_bytes) // (second.needed_bytes - first.needed_bytes)) + 1
        for first, second in zip(one, two)
    ]
    return max(0, min(fitting)) * dies
