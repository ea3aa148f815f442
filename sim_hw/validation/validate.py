"""Published against predicted: every calibration point that the model speaks about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from sim_hw.chips.calibration import CalibratedChip
from sim_hw.chips.chip import Chip, Precision
from sim_hw.chips.fit import ChipFit
from sim_hw.chips.sheet import chip_under, fit_of, rivals_of
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.gb200_nvl72 import GB200_NVL72
from sim_hw.clusters.hopper import H800_CLUSTER
from sim_hw.clusters.sheet import find_supernode
from sim_hw.clusters.supernode import Overlap, Supernode
from sim_hw.models.published import DEEPSEEK_R1
from sim_hw.operators.error_bar import Stage, error_bar
from sim_hw.operators.layout import expert_layout
from sim_hw.operators.operating_point import DecodePoint, ExpertBalance, PrefillPoint
from sim_hw.operators.operator import Operator, OperatorClass
from sim_hw.operators.roofline import operator_s
from sim_hw.steps.decode_step import DecodeModel, decode_step, stage_s
from sim_hw.steps.die_memory import largest_fitting_batch
from sim_hw.steps.predict import all_to_all_s, counted_bytes
from sim_hw.steps.prefill_pass import prefill_pass
from sim_hw.validation.calibration_points import MODEL_CACHING, CalibrationPoint, calibration_points

NOT_FITTED = frozenset(
    {"cm_decode_b96_tput", "cm_decode_b8_tput", "h800_decode_profile_tpot", "cm_mla_memory_bw", "h800_mla_memory_bw"}
)
"""Points that no number was fitted on, besides all bandwidths of all-to-alls and of matrix products."""

STREAM_CORES = 16 / 24
"""Cores of the attention stream in the published stage times."""

Clusters = Callable[[str], Supernode]
"""Clusters by name: as they are built in, or with constants that a user measured."""


class Question(Struct, frozen=True):
    """What one point asks of a chip: `predicted(fit)` is a time (or a ratio of two), `value` what the point has of it.
    Without a `stage` it is a kernel by itself, which the constants were read off."""

    chip: Chip
    stage: Stage | None
    predicted: Callable[[ChipFit], float]
    value: Callable[[float], float]

    def value_with(self, fit: ChipFit) -> float:
        """In the unit of the point, with these numbers of the software."""
        return self.value(self.predicted(fit))

    def answer(self) -> tuple[float, float]:
        """Value with the chip's own numbers, and its relative error bar."""
        predicted = self.predicted(fit_of(self.chip))
        if self.stage is None:
            return self.value(predicted), 0.0
        rivals = [self.predicted(rival) for rival in rivals_of(self.chip)]
        return self.value(predicted), error_bar(self.chip, self.stage, predicted, rivals)


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


def validate(clusters: Clusters = find_supernode) -> Validation:
    """Predict every calibration point but those about loading models, on clusters as `clusters` knows them by name."""
    asked = dict(questions(clusters))
    rows = tuple(
        _row(point, *asked[point.id].answer()) for point in calibration_points() if point.group != MODEL_CACHING
    )
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


def questions(clusters: Clusters = find_supernode) -> Iterator[tuple[str, Question]]:
    """What each calibration point asks, by its name."""
    cloudmatrix, h800 = clusters(CLOUDMATRIX384.name), clusters(H800_CLUSTER.name)
    yield from _prefill(cloudmatrix, h800)
    yield from _decode(cloudmatrix, h800, clusters(GB200_NVL72.name))
    yield from _decode_layers(cloudmatrix)
    for point in calibration_points():
        if point.group == "ep_comm":
            yield point.id, _all_to_all(point, cloudmatrix if point.id.startswith("cm_") else h800)
        elif "_gemm_" in point.id:
            yield point.id, _grouped_product(point, cloudmatrix.chip)
    yield from _attention("cm", cloudmatrix.chip)
    yield from _attention("h800", h800.chip)


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


def saturated_gb200(cluster: Supernode = GB200_NVL72) -> DecodePoint:
    """48 decode GPUs with as many requests of about 2,048 tokens as fit, neither MTP nor overlap."""
    point = replace(decode_point(cluster, 48, 1), context_tokens=2048, overlap=Overlap.NONE)
    return replace(point, batch_per_npu=largest_fitting_batch(point))


def _prefill(cloudmatrix: Supernode, h800: Supernode) -> Iterator[tuple[str, Question]]:
    for name, point in {
        "cm_prefill_default": prefill_point(cloudmatrix),
        "cm_prefill_perfect_eplb": replace(prefill_point(cloudmatrix), eplb=ExpertBalance.PERFECT),
        "h800_prefill_profile": replace(prefill_point(h800), eplb=ExpertBalance.PERFECT),
    }.items():
        yield (
            name,
            Question(point.chip, "prefill", partial(_pass_s, point), _over(point.batch_tokens_per_npu)),
        )
    few = replace(prefill_point(cloudmatrix), reuse=0.125)
    many = replace(few, reuse=0.5)

    def gain(fit: ChipFit) -> float:
        return _pass_s(few, fit) / _pass_s(many, fit)

    yield "cm_ems_reuse_gain", Question(cloudmatrix.chip, "prefill", gain, _as_it_is)


def _decode(cloudmatrix: Supernode, h800: Supernode, gb200: Supernode) -> Iterator[tuple[str, Question]]:
    for name, point in {
        "cm_decode_b96": replace(decode_point(cloudmatrix, 320, 96), mtp_k=1),
        "cm_decode_b8": replace(decode_point(cloudmatrix, 320, 8), mtp_k=1),
        "h800_decode_profile": replace(decode_point(h800, 128, 128), eplb=ExpertBalance.PERFECT),
    }.items():
        yield f"{name}_tpot", _decode_question(point, partial(_tpot_ms, point))
        yield f"{name}_tput", _decode_rate(point)
    yield "gb200_decode_sglang_part1", _decode_rate(saturated_gb200(_under_part_1(gb200)))


def _under_part_1(gb200: Supernode) -> Supernode:
    """With the engine of that row, which is older than the one of the chip's sheet, unless a user measured another."""
    chip = gb200.chip
    return gb200 if isinstance(chip, CalibratedChip) else replace(gb200, chip=chip_under(chip, "sglang-part-1"))


def _decode_rate(point: DecodePoint) -> Question:
    return _decode_question(point, lambda step_s: point.batch_per_npu / (step_s / point.tokens_per_iteration))


def _decode_question(point: DecodePoint, value: Callable[[float], float]) -> Question:
    return Question(point.chip, "decode", lambda fit: decode_step(point, fit).step.seconds, value)


def _decode_layers(cloudmatrix: Supernode) -> Iterator[tuple[str, Question]]:
    without = decode_point(cloudmatrix, 320, 96)
    with_mtp = replace(without, mtp_k=1)
    for name, point in {"cm_layer_mtp_b96": with_mtp, "cm_layer_no_mtp_b96": without}.items():
        yield name, Question(cloudmatrix.chip, "decode", partial(_layer_s, point), _times(1e6))

    def stage(stream: int, fit: ChipFit) -> float:
        model = DecodeModel(with_mtp, fit, expert_layout(with_mtp))
        return sum(stage_s(model, with_mtp.requests_per_rank / 2, STREAM_CORES)[stream].values())

    for stream in (0, 1):
        yield f"cm_stream{stream}_stage", Question(cloudmatrix.chip, "decode", partial(stage, stream), _times(1e6))


def _tpot_ms(point: DecodePoint, step_s: float) -> float:
    return step_s / point.tokens_per_iteration * 1e3


def _pass_s(point: PrefillPoint, fit: ChipFit) -> float:
    return prefill_pass(point, fit).whole.seconds


def _layer_s(point: DecodePoint, fit: ChipFit) -> float:
    return decode_step(point, fit).layer.seconds


def _all_to_all(point: CalibrationPoint, cluster: Supernode) -> Question:
    asked = point.conditions
    name, ep, rows = asked["operator"], asked["ep_ranks"], asked["batch_tokens_per_rank"]
    value = _times(1e6)
    if point.metric == "bandwidth":
        value = _over(counted_bytes(name, cluster, ep, rows), 1e9)
    return Question(cluster.chip, "operator", lambda fit: all_to_all_s(name, cluster, fit, ep, rows), value)


def _grouped_product(point: CalibrationPoint, chip: Chip) -> Question:
    groups, m, n, k = (point.conditions[name] for name in ("groups", "m", "n", "k"))
    flops = 2.0 * groups * m * n * k
    num_bytes = groups * (m * k + n * k + 2.0 * m * n)
    product = Operator("product", OperatorClass.MATRIX, Precision.INT8, flops, num_bytes)
    value = _over(num_bytes, 1e9)
    if point.metric == "utilisation":
        value = _over(100.0 * flops, chip.die_flops(Precision.INT8))
    return Question(chip, None, partial(operator_s, product, chip), value)


def _attention(prefix: str, chip: Chip) -> Iterator[tuple[str, Question]]:
    flops, num_bytes = 1e12, 1e9
    computed = partial(operator_s, Operator("attention", OperatorClass.ATTENTION, flops=flops), chip)
    read = partial(operator_s, Operator("attention", OperatorClass.ATTENTION, hbm_bytes=num_bytes), chip)
    peak_flops, peak_bytes_per_s = chip.die_flops(Precision.BF16), chip.die.hbm_bytes_per_s.value
    yield f"{prefix}_mla_compute_util", Question(chip, None, computed, _over(100.0 * flops, peak_flops))
    yield f"{prefix}_mla_memory_util", Question(chip, None, read, _over(100.0 * num_bytes, peak_bytes_per_s))
    yield f"{prefix}_mla_memory_bw", Question(chip, None, read, _over(num_bytes, 1e9))


def _times(factor: float) -> Callable[[float], float]:
    return lambda seconds: factor * seconds


def _over(amount: float, unit: float = 1.0) -> Callable[[float], float]:
    """The rate at which so much is done, in so large a unit."""
    return lambda seconds: amount / seconds / unit


def _as_it_is(ratio: float) -> float:
    return ratio
