"""What fits in a die: the map adds up, and more of one thing leaves less of another."""

from __future__ import annotations

import dataclasses

import pytest

from sim_hw.chips import ASCEND_910C
from sim_hw.memory import (
    KV_BLOCK_TOKENS,
    Role,
    die_memory,
    experts_per_die,
    kv_capacity_tokens,
    max_sequences_per_die,
    weights_bytes_per_die,
)

PUBLISHED = [(Role.PREFILL, 16), (Role.DECODE, 160)]


@pytest.mark.parametrize(("role", "num_npus"), PUBLISHED)
def test_the_map_adds_to_the_capacity(role: Role, num_npus: int) -> None:
    parts = dataclasses.astuple(die_memory(role, num_npus))
    assert sum(parts) == pytest.approx(ASCEND_910C.die.hbm_bytes.value)
    assert all(part > 0 for part in parts)


def test_experts_per_die_of_the_published_layouts() -> None:
    assert experts_per_die(Role.PREFILL, 16) == 10
    assert experts_per_die(Role.DECODE, 160) == 1


@pytest.mark.parametrize(("role", "num_npus"), PUBLISHED)
def test_all_ranks_together_hold_the_whole_model(role: Role, num_npus: int) -> None:
    assert 2 * num_npus * weights_bytes_per_die(role, num_npus) > 671e9


@pytest.mark.parametrize("role", Role)
def test_weights_per_die_fall_with_the_size_of_the_instance(role: Role) -> None:
    sizes = [weights_bytes_per_die(role, num_npus) for num_npus in (8, 16, 32, 64, 128)]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(("role", "num_npus"), PUBLISHED)
def test_capacity_is_whole_blocks_and_shrinks_with_the_reserve(role: Role, num_npus: int) -> None:
    plain = kv_capacity_tokens(role, num_npus)
    assert plain % KV_BLOCK_TOKENS == 0
    assert kv_capacity_tokens(role, num_npus, reserve_share=0.2) < plain
    assert plain < kv_capacity_tokens(role, num_npus, mtp=False)


def test_the_published_operating_points_fit() -> None:
    # One prefill pass: 16,384 tokens per NPU on 16 NPUs, a full copy of their KV on every die.
    assert kv_capacity_tokens(Role.PREFILL, 16) >= 16 * 16_384
    # Decode: 48 requests per die, prompt 4,096 and output 256.
    assert kv_capacity_tokens(Role.DECODE, 160) >= 48 * (4096 + 256)


def test_an_instance_that_cannot_hold_the_model_says_so() -> None:
    with pytest.raises(ValueError, match=r"prefill instance of 4 NPUs.*take more NPUs"):
        kv_capacity_tokens(Role.PREFILL, 4)
    with pytest.raises(ValueError, match="at least 1 NPU, not 0"):
        weights_bytes_per_die(Role.DECODE, 0)


def test_sequences_per_die_by_the_buffer_rule() -> None:
    assert max_sequences_per_die(mtp=True) == 48
    assert max_sequences_per_die(mtp=False) == 96
