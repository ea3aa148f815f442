"""A rival is one only if it fits the calibration rows of its chip about as well as the chosen numbers."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sim_hw.chips.ascend import ASCEND_910C_RIVALS
from sim_hw.chips.chip import ExpertWeights, Precision
from sim_hw.chips.fit import ChipFit, StageErrors
from sim_hw.chips.nvidia_fits import GB200_RIVALS, H800_RIVALS, SGLANG_OF_PART_1
from sim_hw.chips.sheet import CHIPS
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.gb200_nvl72 import GB200_NVL72
from sim_hw.clusters.hopper import H100_CLUSTER, H800_CLUSTER
from sim_hw.clusters.supernode import Supernode
from sim_hw.models.published import DEEPSEEK_R1, DEEPSEEK_V3, LLAMA_3_1_70B, MODELS, QWEN3_235B_A22B
from sim_hw.models.shape import ModelShape
from sim_hw.operators.error_bar import (
    BORROWED_ERROR,
    OTHER_ENGINE_ERROR,
    UNMEASURED_MODEL_ERROR,
    bar_of_another_engine,
    error_bar,
)
from sim_hw.operators.layout import expert_layout
from sim_hw.operators.operating_point import DecodePoint, ExpertBalance, PrefillPoint
from sim_hw.steps.decode_step import DecodeModel, decode_step, stage_s
from sim_hw.steps.prefill_pass import prefill_pass
from sim_hw.validation import validate

WITH_MTP = replace(validate.decode_point(CLOUDMATRIX384, 320, 96), mtp_k=1)
PREFILL = validate.prefill_point(CLOUDMATRIX384)


def errors_of(name: str) -> StageErrors:
    """Of a chip that has them."""
    errors = CHIPS.find(name).errors
    assert errors
    return errors


def rate(point: DecodePoint | PrefillPoint, fit: ChipFit) -> float:
    """Tokens/s per package."""
    if isinstance(point, DecodePoint):
        return point.batch_per_npu * point.tokens_per_iteration / decode_step(point, fit).step.seconds
    return point.batch_tokens_per_npu / prefill_pass(point, fit).whole.seconds


@pytest.mark.parametrize("fit", ASCEND_910C_RIVALS.values(), ids=ASCEND_910C_RIVALS.keys())
def test_rivals_of_the_910c_fit_its_rows(fit: ChipFit) -> None:
    model = DecodeModel(WITH_MTP, fit, expert_layout(WITH_MTP))
    attention, experts = stage_s(model, 24, 16 / 24)
    errors = [
        rate(WITH_MTP, fit) / 1943,
        rate(replace(WITH_MTP, batch_per_npu=8), fit) / 538,
        decode_step(WITH_MTP, fit).layer.seconds / 1260e-6,
        decode_step(replace(WITH_MTP, mtp_k=0), fit).layer.seconds / 874e-6,
        sum(attention.values()) / 600e-6,
        sum(experts.values()) / 600e-6,
        rate(PREFILL, fit) / 5655,
        rate(replace(PREFILL, eplb=ExpertBalance.PERFECT), fit) / 6688,
        rate(replace(PREFILL, reuse=0.5), fit) / rate(replace(PREFILL, reuse=0.125), fit) / 1.42,
    ]
    assert errors == [pytest.approx(1.0, abs=0.056)] * len(errors)


@pytest.mark.parametrize("name", H800_RIVALS)
def test_rivals_of_the_h800_fit_its_rows(name: str) -> None:
    fit = H800_RIVALS[name]
    decode = replace(validate.decode_point(H800_CLUSTER, 128, 128), eplb=ExpertBalance.PERFECT)
    # The two decode rows contradict each other: 2,325 tok/s, or 128 requests every 50.2 ms.
    published = 128 / 50.2e-3 if "TPOT" in name else 2325
    assert rate(decode, fit) == pytest.approx(published, rel=0.01)
    prefill = replace(validate.prefill_point(H800_CLUSTER), eplb=ExpertBalance.PERFECT)
    assert rate(prefill, fit) == pytest.approx(7839, rel=0.01)


@pytest.mark.parametrize("fit", GB200_RIVALS.values(), ids=GB200_RIVALS.keys())
def test_rivals_of_the_gb200_fit_its_rows(fit: ChipFit) -> None:
    """Not better than the chosen numbers do: the two rows part by as much."""
    in_eight_bits = replace(validate.decode_point(GB200_NVL72, 48, 768), context_tokens=2048)
    in_four_bits = replace(in_eight_bits, batch_per_npu=1408, cluster=_in_four_bits(GB200_NVL72))
    assert rate(in_eight_bits, fit) == pytest.approx(9087, rel=0.15)
    assert rate(in_four_bits, fit) == pytest.approx(13386, rel=0.10)


@pytest.mark.parametrize("fit", SGLANG_OF_PART_1.one_spread_away)
def test_the_earlier_engine_on_gb200_and_its_rivals_fit_its_row(fit: ChipFit) -> None:
    for one in (fit, SGLANG_OF_PART_1.fit):
        assert rate(validate.saturated_gb200(), one) == pytest.approx(7583, rel=0.01)


def _in_four_bits(cluster: Supernode) -> Supernode:
    defaults = replace(cluster.defaults, kv_precision=Precision.FP8, expert_weights=ExpertWeights.NVFP4)
    return replace(cluster, defaults=defaults)


def test_an_answer_for_another_engine_is_surer_of_nothing() -> None:
    for bar in (0.0, 0.1, 0.5):
        assert bar_of_another_engine(bar) >= max(bar, OTHER_ENGINE_ERROR.value)


@pytest.mark.parametrize("model", [DEEPSEEK_R1, DEEPSEEK_V3, replace(DEEPSEEK_R1, name="mine", source="a file"), None])
def test_a_model_with_rows_has_the_bar_of_its_chip_and_of_the_rivals(model: ModelShape | None) -> None:
    for chip in (CLOUDMATRIX384.chip, H800_CLUSTER.chip, H100_CLUSTER.chip):
        errors = errors_of(chip.name)
        assert error_bar(chip, "prefill", 1.0, [1.02], model) == errors.prefill.value
        assert error_bar(chip, "decode", 1.0, [1.02], model) == errors.decode.value
        assert error_bar(chip, "operator", 1.0, [1.02], model) == errors.operator.value
        assert error_bar(chip, "decode", 1.0, [1.02, 0.7], model) == pytest.approx(0.3)
    assert error_bar(replace(H100_CLUSTER.chip, name="mine"), "decode", 1.0, [1.02], model) == BORROWED_ERROR.value


def test_bars_differ_by_chip_and_stage_and_say_why() -> None:
    bars = [getattr(errors_of(sheet.name), stage) for sheet in CHIPS for stage in ("prefill", "decode", "operator")]
    assert all(0.02 < bar.value < BORROWED_ERROR.value and bar.source for bar in bars)
    assert len({bar.value for bar in bars}) > 4


@pytest.mark.parametrize("model", [QWEN3_235B_A22B, LLAMA_3_1_70B, replace(DEEPSEEK_R1, layers=60)])
def test_a_model_without_a_row_has_a_bar_that_says_so(model: ModelShape) -> None:
    both = (errors_of("h100").decode.value ** 2 + UNMEASURED_MODEL_ERROR.value**2) ** 0.5
    assert error_bar(H100_CLUSTER.chip, "decode", 1.0, [1.02], model) == pytest.approx(both)


def test_every_built_in_model_is_measured_or_said_not_to_be() -> None:
    bars = {model.name: error_bar(CLOUDMATRIX384.chip, "decode", 1.0, [], model) for model in MODELS}
    of_chip = errors_of("ascend-910c").decode.value
    measured = {"deepseek-r1", "deepseek-v3"}
    assert {name for name, bar in bars.items() if bar == of_chip} == measured
    assert all(bar > UNMEASURED_MODEL_ERROR.value for name, bar in bars.items() if name not in measured)
