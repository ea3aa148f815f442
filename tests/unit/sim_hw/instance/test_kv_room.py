"""What engines have room for: by the map of a die's memory, with typed errors where there is none."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.gb200_nvl72 import GB200_NVL72
from sim_hw.clusters.hopper import H800_CLUSTER
from sim_hw.clusters.supernode import Supernode
from sim_hw.errors import DoesNotFitError
from sim_hw.instance.kv_room import KV_BLOCK_TOKENS, decode_room, prefill_blocks
from sim_hw.models.published import DEEPSEEK_R1, LLAMA_3_1_70B, MODELS
from sim_hw.steps.default_points import default_decode_point, default_prefill_point
from sim_hw.steps.die_memory import decode_memory
from tests.unit.sim_hw.known import SUPERNODES

DECODE = default_decode_point(CLOUDMATRIX384, DEEPSEEK_R1)


def test_sequences_of_a_die_are_bounded_by_the_published_rows() -> None:
    assert decode_room(DECODE).sequences == 48
    assert decode_room(replace(DECODE, mtp_k=0)).sequences == 96
    assert decode_room(default_decode_point(H800_CLUSTER, DEEPSEEK_R1)).sequences == 128


@pytest.mark.parametrize("cluster", SUPERNODES, ids=lambda one: one.name)
@pytest.mark.parametrize("model", MODELS, ids=lambda one: one.name)
def test_what_has_room_fits_and_one_block_more_does_not(cluster: Supernode, model: object) -> None:
    assert model in MODELS
    point = default_decode_point(cluster, model)  # type: ignore[arg-type]
    room = decode_room(point)
    dies = point.chip.num_dies.count
    tokens = room.kv_blocks * KV_BLOCK_TOKENS // room.sequences
    full = replace(point, batch_per_npu=room.sequences * dies, context_tokens=tokens)
    assert decode_memory(full).fits
    beyond = replace(full, context_tokens=tokens + 2 * KV_BLOCK_TOKENS)
    assert not decode_memory(beyond).fits


def test_a_larger_reserve_leaves_less() -> None:
    assert decode_room(DECODE, 0.3).kv_blocks < decode_room(DECODE, 0.1).kv_blocks < decode_room(DECODE, 0.0).kv_blocks
    prefill = default_prefill_point(CLOUDMATRIX384, DEEPSEEK_R1)
    assert prefill_blocks(prefill, 0.3) < prefill_blocks(prefill, 0.1)


def test_latent_kv_is_on_every_rank_and_grouped_heads_are_shared_out() -> None:
    # One latent head cannot be split: however many NPUs, all of its KV fits one die. Grouped heads can.
    large = replace(default_prefill_point(CLOUDMATRIX384, DEEPSEEK_R1), num_npus=128, ep=256)
    block_bytes = KV_BLOCK_TOKENS * DEEPSEEK_R1.kv_bytes_per_token(mtp=False)
    assert prefill_blocks(large) * block_bytes < large.chip.die.hbm_bytes.value
    dense = default_prefill_point(GB200_NVL72, LLAMA_3_1_70B)
    assert prefill_blocks(replace(dense, num_npus=8)) > 1.9 * prefill_blocks(replace(dense, num_npus=4))


def test_weights_that_leave_no_room_are_refused_with_numbers() -> None:
    tight = replace(DECODE, num_npus=5, ep=10)
    with pytest.raises(DoesNotFitError, match=r"5 NPUs: weights and buffers of [\d.]+ GB per die leave no room"):
        decode_room(tight)
