"""Published against predicted: every calibration point that the model speaks about."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from sim_hw.chips.ascend import ASCEND_910C
from sim_hw.chips.chip import Chip, Precision
from sim_hw.chips.fit import ChipFit
from sim_hw.chips.nvidia import H800
from sim_hw.chips.sheet import fit_of, rivals_of
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.gb200_nvl72 import GB200_NVL72
from sim_hw.clusters.hopper import H800_CLUSTER
from sim_hw.clusters.supernode import Overlap, Supernode
from sim_hw.models.published import DEEPSEEK_R1
from sim_hw.operators.error_bar import Stage, error_bar
from sim_hw.operators.layout import expert_layout
from sim_hw.operators.operating_point import DecodePoint, ExpertBalance, PrefillPoint
from sim_hw.operators.operator import Operator, OperatorClass
from sim_hw.operators.roofline import operator_s
from sim_hw.steps.decode_step import DecodeModel, decode_step, stage_s
from sim_hw.steps.die_memory import largest_fitting_batch
from sim_hw.steps.predict import predict_decode, predict_operator, predict_prefill
from sim_hw.steps.prefill_pass import prefill_pass
from sim_hw.validation.calibration_points import MODEL_CACHING, CalibrationPoint, calibration_points

NOT_FITTED = frozenset(
    {"cm_decode_b96_tput", "cm_decode_b8_tput", "h800_decode_profile_tpot", "cm_mla_memory_bw", "h800_mla_memory_bw"}
)
"""Points that no number was fitted on, besides all bandwidths of all-to-alls and of matrix products."""

STREAM_CORES = 16 / 24
"""Cores of the attention stream in the published stage times."""

Prediction = tuple[float, float]
"""Value in the unit of the point, relative error bar."""


class ValidationRow(Struct, frozen=True):
    """`error` is predicted over published, less one."""

    id: str
    group: str
    system: str
    metric: str
    unit: str
    published: float
    predicted: float
    error: float
    error_bar: float
    is_fitted: bool
    source: str
    note: str


class Validation(Struct, frozen=True):
    """All rows, and the mean and largest of their absolute errors."""

    rows: tuple[ValidationRow, ...]
    mape: float
    max_error: float


def validate() -> Validation:
    """Predict every calibration point but those about loading models."""
    predictions = dict(_predictions())
    rows = tuple(_row(point, *predictions[point.id]) for point in calibration_points() if point.group != MODEL_CACHING)
    errors = [abs(row.error) for row in rows]
    return Validation(rows, sum(errors) / len(errors), max(errors))


def _row(point: CalibrationPoint, predicted: float, bar: float) -> ValidationRow:
    is_bandwidth = point.metric == "bandwidth"
    return ValidationRow(
        id=point.id,
        group=point.group,
        system=point.system,
        metric=point.metric,
        unit=point.unit,
        published=point.value,
        predicted=predicted,
        error=predicted / point.value - 1.0,
        error_bar=bar,
        is_fitted=not is_bandwidth and point.id not in NOT_FITTED,
        source=point.source,
        note=point.note,
    )


def _predictions() -> Iterator[tuple[str, Prediction]]:
    yield from _prefill()
    yield from _decode()
    yield from _decode_layers()
    for point in calibration_points():
        if point.group == "ep_comm":
            yield point.id, _all_to_all(point)
        elif "_gemm_" in point.id:
            yield point.id, _grouped_product(point)
    yield from _attention("cm", ASCEND_910C)
    yield from _attention("h800", H800)


def decode_point(cluster: Supernode, ep: int, batch_per_npu: int) -> DecodePoint:
    """A published decode instance: DeepSeek with 4,096 tokens of context, an expert rank on each die, no MTP."""
    return DecodePoint(
        cluster=cluster,
        model=DEEPSEEK_R1,
        num_npus=ep // cluster.chip.num_dies.count,
        ep=ep,
        batch_per_npu=batch_per_npu,
        context_tokens=4096,
    )


def prefill_point(cluster: Supernode) -> PrefillPoint:
    """A published prefill instance: EP32, 16,384 tokens per package, prompts of 4,096."""
    return PrefillPoint(
        cluster=cluster,
        model=DEEPSEEK_R1,
        num_npus=32 // cluster.chip.num_dies.count,
        ep=32,
        batch_tokens_per_npu=16_384,
        prompt_tokens=4096,
    )


def saturated_gb200() -> DecodePoint:
    """48 decode GPUs with as many requests of about 2,048 tokens as fit, neither MTP nor overlap."""
    point = replace(decode_point(GB200_NVL72, 48, 1), context_tokens=2048, overlap=Overlap.NONE)
    return replace(point, batch_per_npu=largest_fitting_batch(point))


def _prefill() -> Iterator[tuple[str, Prediction]]:
    for name, point in {
        "cm_prefill_default": prefill_point(CLOUDMATRIX384),
        "cm_prefill_perfect_eplb": replace(prefill_point(CLOUDMATRIX384), eplb=ExpertBalance.PERFECT),
        "h800_prefill_profile": replace(prefill_point(H800_CLUSTER), eplb=ExpertBalance.PERFECT),
    }.items():
        answer = predict_prefill(point)
        yield name, (answer.tokens_per_s_per_npu, answer.error_bar)
    few = replace(prefill_point(CLOUDMATRIX384), reuse=0.125)
    many = replace(few, reuse=0.5)

    def gain(fit: ChipFit) -> float:
        return prefill_pass(few, fit).whole.seconds / prefill_pass(many, fit).whole.seconds

    yield "cm_ems_reuse_gain", _with_bar(ASCEND_910C, "prefill", gain)


def _with_bar(chip: Chip, stage: Stage, predict: Callable[[ChipFit], float]) -> Prediction:
    value = predict(fit_of(chip))
    return value, error_bar(chip, stage, value, [predict(rival) for rival in rivals_of(chip)])


def _decode() -> Iterator[tuple[str, Prediction]]:
    for name, point in {
        "cm_decode_b96": replace(decode_point(CLOUDMATRIX384, 320, 96), mtp_k=1),
        "cm_decode_b8": replace(decode_point(CLOUDMATRIX384, 320, 8), mtp_k=1),
        "h800_decode_profile": replace(decode_point(H800_CLUSTER, 128, 128), eplb=ExpertBalance.PERFECT),
    }.items():
        answer = predict_decode(point)
        yield f"{name}_tpot", (answer.tpot_s * 1e3, answer.error_bar)
        yield f"{name}_tput", (answer.tokens_per_s_per_npu, answer.error_bar)
    answer = predict_decode(saturated_gb200())
    yield "gb200_decode_sglang_part1", (answer.tokens_per_s_per_npu, answer.error_bar)


def _decode_layers() -> Iterator[tuple[str, Prediction]]:
    without = decode_point(CLOUDMATRIX384, 320, 96)
    with_mtp = replace(without, mtp_k=1)

    def layer_us(point: DecodePoint) -> Prediction:
        return _with_bar(ASCEND_910C, "decode", lambda fit: decode_step(point, fit).layer.seconds * 1e6)

    yield "cm_layer_mtp_b96", layer_us(with_mtp)
    yield "cm_layer_no_mtp_b96", layer_us(without)

    def stage_us(fit: ChipFit, stream: int) -> float:
        model = DecodeModel(with_mtp, fit, expert_layout(with_mtp))
        return sum(stage_s(model, with_mtp.requests_per_rank / 2, STREAM_CORES)[stream].values()) * 1e6

    yield "cm_stream0_stage", _with_bar(ASCEND_910C, "decode", lambda fit: stage_us(fit, 0))
    yield "cm_stream1_stage", _with_bar(ASCEND_910C, "decode", lambda fit: stage_us(fit, 1))


def _all_to_all(point: CalibrationPoint) -> Prediction:
    cluster = CLOUDMATRIX384 if point.id.startswith("cm_") else H800_CLUSTER
    conditions = point.conditions
    answer = predict_operator(
        conditions["operator"], cluster, conditions["ep_ranks"], conditions["batch_tokens_per_rank"]
    )
    value = answer.latency_s * 1e6 if point.metric == "latency" else answer.bytes_per_s / 1e9
    return value, answer.error_bar


def _grouped_product(point: CalibrationPoint) -> Prediction:
    groups, m, n, k = (point.conditions[name] for name in ("groups", "m", "n", "k"))
    flops = 2.0 * groups * m * n * k
    num_bytes = groups * (m * k + n * k + 2.0 * m * n)
    product = Operator("product", OperatorClass.MATRIX, Precision.INT8, flops, num_bytes)
    seconds = operator_s(product, ASCEND_910C, fit_of(ASCEND_910C))
    if point.metric == "utilisation":
        return 100.0 * flops / seconds / ASCEND_910C.die_flops(Precision.INT8), 0.0
    return num_bytes / seconds / 1e9, 0.0


def _attention(prefix: str, chip: Chip) -> Iterator[tuple[str, Prediction]]:
    fit, peak_bytes_per_s = fit_of(chip), chip.die.hbm_bytes_per_s.value
    flops, num_bytes = 1e12, 1e9
    compute_s = operator_s(Operator("attention", OperatorClass.ATTENTION, flops=flops), chip, fit)
    memory_s = operator_s(Operator("attention", OperatorClass.ATTENTION, hbm_bytes=num_bytes), chip, fit)
    yield f"{prefix}_mla_compute_util", (100.0 * flops / compute_s / chip.die_flops(Precision.BF16), 0.0)
    yield f"{prefix}_mla_memory_util", (100.0 * num_bytes / memory_s / peak_bytes_per_s, 0.0)
    yield f"{prefix}_mla_memory_bw", (num_bytes / memory_s / 1e9, 0.0)
