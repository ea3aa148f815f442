"""With attention's, the operators of the feed-forward part make up the model's linear FLOPs."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sim_hw.chips.sheet import fit_of
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.models.published import DEEPSEEK_R1, QWEN3_235B_A22B
from sim_hw.models.shape import ModelShape
from sim_hw.operators.ffn import ffn_vector, row_handling
from sim_hw.operators.layout import expert_layout
from sim_hw.operators.operating_point import ExpertBalance
from sim_hw.operators.operator import Operator, OperatorClass
from sim_hw.steps.decode_step import DecodeModel, once_operators
from sim_hw.steps.default_points import default_decode_point

MODELS = [DEEPSEEK_R1, QWEN3_235B_A22B]


def matrix_flops(operators: tuple[Operator, ...]) -> float:
    return sum(one.flops for one in operators if one.kind is OperatorClass.MATRIX)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_token_row_costs_the_linear_flops_of_the_model(model: ModelShape) -> None:
    point = replace(
        default_decode_point(CLOUDMATRIX384, model), num_npus=16, ep=32, mtp_k=0, eplb=ExpertBalance.PERFECT
    )
    decode = DecodeModel(point, fit_of(point.chip), expert_layout(point))
    assert decode.layout is not None
    attention = matrix_flops(decode.attention(1))
    per_row = (
        model.layers * attention
        + model.dense_layers * matrix_flops(decode.dense(1))
        + model.moe_layers * matrix_flops(decode.experts(decode.layout, 1)[0])
        + matrix_flops(once_operators(decode, 1))
    )
    assert per_row == pytest.approx(model.linear_flops_per_token)


def test_two_rows_are_handled_like_one_request() -> None:
    fit = fit_of(CLOUDMATRIX384.chip)
    assert row_handling(fit, 2).wait_s == fit.request_s.value


def test_activations_of_an_expert() -> None:
    # Input and output of 7,168, gate and up of 2,048 each and their product, BF16, written and read.
    assert ffn_vector(DEEPSEEK_R1, 2048, 10).hbm_bytes == 10 * (2 * 7168 + 3 * 2048) * 4
