"""Collectives between ranks: published rows, payloads, laws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sim_hw.chips.nvidia import B200
from sim_hw.chips.sheet import fit_of
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.gb200_nvl72 import GB200_NVL72
from sim_hw.clusters.hopper import H800_CLUSTER
from sim_hw.clusters.supernode import Supernode
from sim_hw.operators.collectives import (
    CollectiveName,
    ExpertAllToAll,
    all_reduce_s,
    all_to_all_s,
    distinct_nodes,
    far_share,
    gather_s,
    package_share,
)

CLUSTERS = st.sampled_from([CLOUDMATRIX384, H800_CLUSTER, GB200_NVL72])
NAMES = st.sampled_from(["dispatch", "combine"])


def all_to_all(cluster: Supernode, ep: int) -> ExpertAllToAll:
    return ExpertAllToAll(cluster, fit_of(cluster.chip), ep, 7168, 8)


def test_messages_are_those_of_the_paper() -> None:
    on_ascend = all_to_all(CLOUDMATRIX384, 32)
    assert on_ascend.message_bytes("dispatch") == 7.5 * 1024
    assert on_ascend.message_bytes("combine") == 14 * 1024
    assert on_ascend.payload_bytes("combine", 128) == pytest.approx(14.68e6, rel=1e-3)


def test_ranks_fill_packages_and_nodes_one_after_another() -> None:
    assert [far_share(CLOUDMATRIX384, ep) for ep in (8, 16, 32, 320)] == [0.0, 0.0, 0.5, 0.95]
    assert [far_share(H800_CLUSTER, ep) for ep in (8, 32)] == [0.0, 0.75]
    assert [package_share(CLOUDMATRIX384, ep) for ep in (1, 2, 32)] == [1.0, 1.0, 1 / 16]


def test_a_row_reaches_fewer_nodes_than_experts() -> None:
    assert distinct_nodes(H800_CLUSTER, 8, 8) == 0.0
    assert distinct_nodes(H800_CLUSTER, 32, 1) == pytest.approx(3 / 4)
    assert 2.0 < distinct_nodes(H800_CLUSTER, 32, 8) < 3.0


@given(cluster=CLUSTERS, name=NAMES, ep=st.integers(1, 72), rows=st.floats(0, 1e5), more=st.floats(0, 1e5))
def test_more_rows_never_take_less_time(
    cluster: Supernode, name: CollectiveName, ep: int, rows: float, more: float
) -> None:
    found = all_to_all(cluster, ep)
    assert found.seconds(name, rows + more) >= found.seconds(name, rows) >= 0.0
    line_rate = found.link_bytes_per_s()
    assert ep == 1 or found.seconds(name, rows) >= found.payload_bytes(name, rows) * (1 - 2 / ep) / line_rate


def test_a_single_rank_sends_nothing() -> None:
    assert all_to_all(H800_CLUSTER, 1).seconds("dispatch", 128) == 0.0
    assert gather_s(CLOUDMATRIX384, 1, 1e9) == all_to_all_s(CLOUDMATRIX384, 1, 1e9) == 0.0


def test_collectives_run_at_measured_rates_where_there_are_some() -> None:
    assert gather_s(CLOUDMATRIX384, 16, 167e9) == pytest.approx(15 / 16)
    assert all_to_all_s(CLOUDMATRIX384, 32, 135e9) == pytest.approx(31 / 32)
    assert all_reduce_s(H800_CLUSTER, 8, 200e9) == pytest.approx(2 * 7 / 8)  # NVLink
    assert all_reduce_s(H800_CLUSTER, 16, 50e9) == pytest.approx(2 * 15 / 16)  # RDMA


def test_ranks_that_scale_up_does_not_join_use_scale_out() -> None:
    on_blackwell = fit_of(B200)
    eight = ExpertAllToAll(replace(H800_CLUSTER, chip=B200), on_blackwell, 8, 7168, 8)
    sixteen = replace(eight, ep=16)
    assert (eight.link_bytes_per_s(), sixteen.link_bytes_per_s()) == (900e9, 50e9)
    # DeepEP's published rows go over RDMA even between the eight GPUs of a node.
    assert all_to_all(H800_CLUSTER, 8).link_bytes_per_s() == 50e9
