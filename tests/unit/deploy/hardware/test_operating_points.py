"""What is not given is the cluster's default instance; what is given wins."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from deploy.hardware.operating_points import (
    InstanceOptions,
    acceptance_of,
    afd_point,
    decode_point,
    prefill_point,
    tpot_limit_s,
)
from scheduler.protocol.errors import ConfigError
from sim_hw.chips.chip import ExpertWeights, Precision
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.gb200_nvl72 import GB200_NVL72
from sim_hw.clusters.hopper import H800_CLUSTER
from sim_hw.clusters.supernode import Overlap, Supernode
from sim_hw.models.published import DEEPSEEK_R1, LLAMA_3_1_70B, QWEN3_235B_A22B
from sim_hw.models.shape import ModelShape
from sim_hw.operators.operating_point import DecodePoint, Drafter
from sim_hw.planes import Plane
from tests.unit.sim_hw.known import SUPERNODES

NOTHING = InstanceOptions()


def decode(cluster: Supernode, model: ModelShape = DEEPSEEK_R1, options: InstanceOptions = NOTHING) -> DecodePoint:
    return decode_point(cluster, model, options)


@pytest.mark.parametrize("cluster", SUPERNODES, ids=lambda one: one.name)
def test_without_options_it_is_the_default_instance(cluster: Supernode) -> None:
    point = decode(cluster)
    stage = cluster.defaults.decode
    assert (point.num_npus, point.ep, point.overlap) == (stage.num_npus, stage.ep, stage.overlap)
    point.check()
    prefill = prefill_point(cluster, DEEPSEEK_R1, NOTHING, cache_plane="vpc")
    assert (prefill.num_npus, prefill.cache_plane) == (cluster.defaults.prefill.num_npus, Plane.VPC)
    prefill.check()


def test_npus_and_ranks_follow_from_each_other() -> None:
    assert decode(CLOUDMATRIX384, options=replace(NOTHING, num_npus=72)).ep == 144
    assert decode(CLOUDMATRIX384, options=replace(NOTHING, ep=144)).num_npus == 72
    assert decode(H800_CLUSTER, options=replace(NOTHING, ep=128)).num_npus == 128
    both = decode(CLOUDMATRIX384, options=replace(NOTHING, num_npus=160, ep=256))
    assert (both.num_npus, both.ep) == (160, 256)


def test_a_dense_model_is_split_over_no_more_than_its_kv_heads() -> None:
    assert decode(CLOUDMATRIX384, LLAMA_3_1_70B).ep == 8
    few = decode(CLOUDMATRIX384, LLAMA_3_1_70B, replace(NOTHING, num_npus=2))
    assert (few.num_npus, few.ep) == (2, 4)
    many = decode(H800_CLUSTER, LLAMA_3_1_70B, replace(NOTHING, num_npus=64))
    assert (many.num_npus, many.ep) == (64, 8)
    assert decode(H800_CLUSTER, LLAMA_3_1_70B, replace(NOTHING, ep=4)).ep == 4


def test_ranks_that_share_experts_or_layers_leave_fewer_to_spread_experts_over() -> None:
    shared = decode(CLOUDMATRIX384, options=replace(NOTHING, num_npus=16, tp=2, expert_tp=4))
    assert (shared.num_npus, shared.ep, shared.tp, shared.expert_tp) == (16, 8, 2, 4)
    assert decode(CLOUDMATRIX384, options=replace(NOTHING, ep=8, expert_tp=4)).num_npus == 16
    staged = prefill_point(H800_CLUSTER, DEEPSEEK_R1, replace(NOTHING, pp=2, cp=4))
    assert (staged.num_npus, staged.ep, staged.pp, staged.cp) == (32, 16, 2, 4)
    for point in (shared, staged):
        point.check()


def test_a_dense_model_says_tp_where_others_say_ep() -> None:
    dense = decode(H800_CLUSTER, LLAMA_3_1_70B, replace(NOTHING, num_npus=16, tp=4))
    assert (dense.num_npus, dense.tp, dense.ep) == (16, 4, 4)
    with pytest.raises(ConfigError, match=r"--tp 4 and --ep 8 both say how many ranks .* leave --ep out"):
        decode(H800_CLUSTER, LLAMA_3_1_70B, replace(NOTHING, tp=4, ep=8))


def test_sides_of_attention_and_experts() -> None:
    sides = afd_point(decode(CLOUDMATRIX384), NOTHING, "128:32")
    assert (sides.num_npus, sides.ffn_npus, sides.ep, sides.batch_per_npu) == (128, 32, 64, 96)
    for text in ("128", "128:32:1", "a:b", "128:", "-1:4"):
        with pytest.raises(ConfigError, match="is no pair of NPUs; give A:F, such as 64:16"):
            afd_point(decode(CLOUDMATRIX384), NOTHING, text)
    with pytest.raises(ConfigError, match="--afd 128:32 and --ep 64: the sides say both NPUs and overlap"):
        afd_point(decode(CLOUDMATRIX384), replace(NOTHING, ep=64), "128:32")


def test_a_cluster_says_how_its_instances_share() -> None:
    layout = replace(CLOUDMATRIX384.defaults.decode, num_npus=16, ep=8, tp=2, expert_tp=4)
    cluster = replace(CLOUDMATRIX384, defaults=replace(CLOUDMATRIX384.defaults, decode=layout))
    point = decode(cluster)
    assert (point.num_npus, point.ep, point.tp, point.expert_tp) == (16, 8, 2, 4)
    assert decode(cluster, options=replace(NOTHING, num_npus=8)).ep == 4
    dense = decode(cluster, LLAMA_3_1_70B)
    assert (dense.tp, dense.ep, dense.expert_tp) == (2, 2, 1)


def test_what_is_given_wins() -> None:
    point = decode_point(CLOUDMATRIX384, DEEPSEEK_R1, NOTHING, 8, 1000, 0, 0.9)
    assert (point.batch_per_npu, point.context_tokens, point.mtp_k, point.acceptance) == (8, 1000, 0, 0.9)
    prefill = prefill_point(CLOUDMATRIX384, DEEPSEEK_R1, replace(NOTHING, slots_per_rank=12), 2048, 512, 0.25)
    assert (prefill.batch_tokens_per_npu, prefill.prompt_tokens, prefill.reuse) == (2048, 512, 0.25)
    assert prefill.slots_per_rank == 12


def test_an_accept_length_gives_the_acceptance_that_yields_it() -> None:
    point = decode_point(CLOUDMATRIX384, DEEPSEEK_R1, NOTHING, mtp_k=3, accept_length=2.5, drafter="eagle")
    assert point.tokens_per_iteration == pytest.approx(2.5)
    assert point.drafter is Drafter.EAGLE
    assert (acceptance_of(1.0, 3), acceptance_of(4.0, 3)) == (pytest.approx(0.0, abs=1e-9), pytest.approx(1.0))
    with pytest.raises(ConfigError, match=r"--accept-length 3\.0: a step of 1 drafts yields 1 to 2 tokens"):
        acceptance_of(3.0, 1)
    with pytest.raises(ConfigError, match=r"--acceptance 0\.5 and --accept-length 1\.5 say the same; leave one out"):
        decode_point(CLOUDMATRIX384, DEEPSEEK_R1, NOTHING, acceptance=0.5, accept_length=1.5)


def test_formats_are_those_that_were_named() -> None:
    options = replace(NOTHING, precision="int8", kv_precision="int8", expert_weights="w4a8")
    point = decode(CLOUDMATRIX384, options=options)
    assert (point.precision, point.kv_precision) == (Precision.INT8, Precision.INT8)
    assert point.cluster.defaults.expert_weights is ExpertWeights.W4A8
    assert decode(point.cluster, options=replace(NOTHING, expert_weights="none")).expert_bytes == 1.0


def test_only_a_model_with_the_module_speculates() -> None:
    assert decode(CLOUDMATRIX384).mtp_k == 1
    assert decode(CLOUDMATRIX384, QWEN3_235B_A22B).mtp_k == 0


@pytest.mark.parametrize(
    ("cluster", "microbatch", "overlap", "meaning"),
    [
        (CLOUDMATRIX384, "on", None, Overlap.TWO_BATCHES),
        (CLOUDMATRIX384, "off", None, Overlap.NONE),
        (GB200_NVL72, None, None, Overlap.SINGLE_BATCH),
        (GB200_NVL72, "on", None, Overlap.TWO_BATCHES),
        (GB200_NVL72, None, "single_batch", Overlap.SINGLE_BATCH),
    ],
)
def test_overlap(cluster: Supernode, microbatch: str | None, overlap: str | None, meaning: Overlap) -> None:
    options = replace(NOTHING, microbatch=microbatch, overlap=overlap)
    assert decode(cluster, options=options).overlap is meaning


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (replace(NOTHING, microbatch="on", overlap="none"), "--microbatch on and --overlap none say the same twice"),
        (replace(NOTHING, microbatch="yes"), "--microbatch: unknown value 'yes'; known: on, off"),
        (replace(NOTHING, overlap="two"), "--overlap: unknown value 'two'; known: none, single_batch, two_batches"),
        (replace(NOTHING, eplb="good"), "--eplb: unknown value 'good'; known: default, greedy, perfect"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(options: InstanceOptions, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        decode(CLOUDMATRIX384, options=options)
    assert str(caught.value).startswith(problem)


def test_limits_have_a_unit() -> None:
    assert [tpot_limit_s(text) for text in ("50ms", "0.05s", "50000us")] == [0.05] * 3
    for text in ("50", "", "-1ms", "50ms,ttft=1s", "soon"):
        with pytest.raises(ConfigError, match=r"is no time above 0; give one such as 50ms or 0\.05s"):
            tpot_limit_s(text)
