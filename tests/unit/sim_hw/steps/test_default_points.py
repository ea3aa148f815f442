"""A question that names only cluster and model starts from a point that exists and fits."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.supernode import Supernode
from sim_hw.errors import DoesNotFitError
from sim_hw.models.published import DEEPSEEK_R1, LLAMA_3_1_70B, QWEN3_235B_A22B
from sim_hw.models.shape import ModelShape
from sim_hw.steps.default_points import default_decode_point, default_prefill_point
from sim_hw.steps.predict import predict_decode, predict_prefill
from tests.unit.sim_hw.known import SUPERNODES


@pytest.mark.parametrize("cluster", SUPERNODES, ids=lambda cluster: cluster.name)
@pytest.mark.parametrize("model", [DEEPSEEK_R1, QWEN3_235B_A22B, LLAMA_3_1_70B], ids=lambda model: model.name)
def test_every_built_in_pair_has_an_answer(cluster: Supernode, model: ModelShape) -> None:
    assert predict_decode(default_decode_point(cluster, model)).tokens_per_s_per_npu > 0
    assert predict_prefill(default_prefill_point(cluster, model)).tokens_per_s_per_npu > 0


def test_cloudmatrix_starts_from_the_published_instances() -> None:
    decode = default_decode_point(CLOUDMATRIX384, DEEPSEEK_R1)
    assert (decode.num_npus, decode.ep, decode.batch_per_npu, decode.context_tokens, decode.mtp_k) == (
        160,
        320,
        96,
        4096,
        1,
    )
    prefill = default_prefill_point(CLOUDMATRIX384, DEEPSEEK_R1)
    assert (prefill.num_npus, prefill.ep, prefill.batch_tokens_per_npu, prefill.prompt_tokens) == (16, 32, 16_384, 4096)


def test_what_fits_nowhere_is_an_error_and_no_point_of_zero_requests() -> None:
    endless = replace(DEEPSEEK_R1, layers=6100)
    with pytest.raises(DoesNotFitError):
        predict_decode(default_decode_point(CLOUDMATRIX384, endless))
