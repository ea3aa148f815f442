"""What lies in HBM, against sums by hand, and the errors when it does not fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.gb200_nvl72 import GB200_NVL72
from sim_hw.clusters.hopper import H800_CLUSTER
from sim_hw.clusters.supernode import Supernode
from sim_hw.errors import DoesNotFitError
from sim_hw.models.published import DEEPSEEK_R1, LLAMA_3_1_70B, QWEN3_235B_A22B
from sim_hw.models.shape import ModelShape
from sim_hw.steps.default_points import default_decode_point, default_prefill_point
from sim_hw.steps.die_memory import (
    check_decode,
    check_prefill,
    decode_memory,
    largest_fitting_batch,
    prefill_memory,
)

DECODE = default_decode_point(CLOUDMATRIX384, DEEPSEEK_R1)
PREFILL = default_prefill_point(CLOUDMATRIX384, DEEPSEEK_R1)


def test_published_decode_instance() -> None:
    parts = decode_memory(DECODE).parts_bytes
    assert parts["weights_attention"] == pytest.approx(11.4e9, rel=2e-3)  # data-parallel: all of it, INT8
    assert parts["weights_experts"] == 58 * (44_040_192 + 7168 * 256)  # one expert and the gate in each layer
    assert parts["buffers"] == 645 * 2**20  # 320 ranks x 96 rows x 21.5 KiB
    assert parts["kv"] == 48 * 4096 * 71_424
    assert decode_memory(DECODE).fits


def test_published_prefill_instance_splits_heads_and_holds_all_latents() -> None:
    parts = prefill_memory(PREFILL).parts_bytes
    assert parts["weights_experts"] == 58 * (10 * 44_040_192 + 7168 * 256)
    assert parts["weights_attention"] < decode_memory(DECODE).parts_bytes["weights_attention"]
    assert parts["kv"] == 32 * 8192 * 70_272
    assert prefill_memory(PREFILL).fits


def test_a_dense_model_is_split_over_its_ranks() -> None:
    point = default_decode_point(CLOUDMATRIX384, LLAMA_3_1_70B)
    parts = decode_memory(point).parts_bytes
    weights = sum(value for kind, value in parts.items() if kind.startswith("weights"))
    assert weights == pytest.approx(70.55e9 / 8, rel=1e-3)
    requests = point.requests_per_rank * 8  # of the eight ranks together, one KV head on each
    assert parts["kv"] == requests * 4096 * LLAMA_3_1_70B.kv_bytes_per_token(mtp=False) / 8


@given(
    cluster=st.sampled_from([CLOUDMATRIX384, H800_CLUSTER, GB200_NVL72]),
    model=st.sampled_from([DEEPSEEK_R1, QWEN3_235B_A22B, LLAMA_3_1_70B]),
    context=st.integers(1, 40_000),
)
def test_the_largest_fitting_batch_is_tight(cluster: Supernode, model: ModelShape, context: int) -> None:
    point = replace(default_decode_point(cluster, model), context_tokens=context)
    batch = largest_fitting_batch(point)
    assert batch == 0 or check_decode(replace(point, batch_per_npu=batch)).fits
    too_many = replace(point, batch_per_npu=batch + point.chip.num_dies.count)
    assert not decode_memory(too_many).fits


def test_errors_give_both_numbers_and_the_mend() -> None:
    with pytest.raises(DoesNotFitError, match=r"needs 85\.2 GB per die, 64 GB available: lower --batch to 260 or"):
        check_decode(replace(DECODE, batch_per_npu=400))
    with pytest.raises(DoesNotFitError, match=r"even with a batch of 1: raise --npus and --ep"):
        check_decode(replace(DECODE, num_npus=8, ep=16))
    with pytest.raises(DoesNotFitError, match=r"lower --batch-tokens to \d+ or raise --ep") as caught:
        check_prefill(replace(PREFILL, batch_tokens_per_npu=32_768))
    fitting = int(str(caught.value).split("--batch-tokens to ")[1].split()[0])
    assert check_prefill(replace(PREFILL, batch_tokens_per_npu=fitting)).fits
    assert not prefill_memory(replace(PREFILL, batch_tokens_per_npu=fitting + 1)).fits
    with pytest.raises(DoesNotFitError, match="whatever the batch"):
        check_prefill(replace(PREFILL, num_npus=4, ep=8))
