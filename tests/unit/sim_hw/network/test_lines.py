"""What is left of each line when parts fail, by closed forms; and that lines alone bind: the switches never block."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.hopper import H800_CLUSTER
from sim_hw.clusters.supernode import Supernode
from sim_hw.network.lines import LineEnd, Lines
from sim_hw.planes import Plane
from tests.unit.sim_hw.known import SUPERNODES
from tests.unit.sim_hw.network.reach import reached_from
from workers.fabric.max_min import FairShares, Path

GB = 10**9
LINES = Lines(CLOUDMATRIX384)
DIES, NODES, DIES_PER_NODE, SUB_PLANES, CHIPS = 768, 48, 16, 7, 16
PORT_GB = 28


def gigabytes(end: LineEnd, *failed: str) -> list[float]:
    """Rates of all lines, GB/s."""
    return [float(rate) for rate in LINES.bytes_per_s(end, failed) / GB]


def expected(whole: float, changed: dict[int, float], number: int = DIES) -> object:
    """The same rate for all but some."""
    return pytest.approx([changed.get(index, whole) for index in range(number)])


@pytest.mark.parametrize("supernode", SUPERNODES, ids=lambda one: one.name)
def test_whole_lines_are_those_of_the_profile_and_failing_nothing_changes_nothing(supernode: Supernode) -> None:
    lines = Lines(supernode)
    for end in (LineEnd.UB_DIE, LineEnd.RDMA_DIE, LineEnd.VPC_NODE):
        whole = lines.bytes_per_s(end)
        assert set(whole) == {lines.whole_bytes_per_s(end)}
        # A part of another plane makes all of them be found link by link.
        other = "npu/0/nic" if end.plane is not Plane.RDMA else "node/0/vpc"
        assert lines.bytes_per_s(end, [other]) == pytest.approx(whole)


def test_a_line_that_is_not_there_and_a_part_that_is_not_are_told() -> None:
    with pytest.raises(LookupError):
        Lines(H800_CLUSTER).bytes_per_s(LineEnd.UB_CPU)
    with pytest.raises(LookupError, match="did you mean l2/6/15"):
        LINES.bytes_per_s(LineEnd.UB_DIE, ["l2/7/15"])


def test_one_of_112_second_level_switches_costs_each_its_share() -> None:
    # A seventh of a line crosses sub-plane 3, a sixteenth of that the switch: 6 x 28 + 28 x 15 / 16.
    assert gigabytes(LineEnd.UB_DIE, "l2/3/7") == expected(194.25, {})
    assert gigabytes(LineEnd.UB_DIE, "l2/03/7") == gigabytes(LineEnd.UB_DIE, "l2/3/7")
    assert gigabytes(LineEnd.UB_CPU, "l2/3/7") == expected(160 * (6 + 15 / 16) / 7, {}, 192)
    assert gigabytes(LineEnd.RDMA_DIE, "l2/3/7") == expected(25, {})


@given(st.integers(0, 6), st.integers(1, 16))
@settings(max_examples=10)
def test_of_a_sub_plane_each_switch_costs_the_same(plane: int, num_chips: int) -> None:
    chips = [f"l2/{plane}/{chip}" for chip in range(num_chips)]
    assert gigabytes(LineEnd.UB_DIE, *chips) == expected(196 - PORT_GB * num_chips / CHIPS, {})


def test_a_first_level_switch_costs_its_node_a_port_and_others_nothing() -> None:
    node = dict.fromkeys(range(5 * DIES_PER_NODE, 6 * DIES_PER_NODE), 168.0)
    assert gigabytes(LineEnd.UB_DIE, "l1/5/2") == expected(196, node)
    assert gigabytes(LineEnd.UB_CPU, "l1/5/2") == expected(160, dict.fromkeys(range(20, 24), 160 * 6 / 7), 192)


@pytest.mark.parametrize("module", ["ub/0/3/2/0", "ub/0/3/2/1", "ub/0/3/2"])
def test_an_optical_module_takes_the_links_to_both_twin_chips(module: str) -> None:
    node = dict.fromkeys(range(DIES_PER_NODE), 168 + PORT_GB * 14 / 16)
    assert gigabytes(LineEnd.UB_DIE, module) == expected(196, node)


def test_what_fewer_dies_send_may_have_the_links_that_are_left() -> None:
    # Of node 0, 14 of 16 uplinks of sub-plane 3 are left; with 4 dies and all CPUs gone from there the rest have all.
    gone = [f"npu/{die // 2}/{die % 2}/ub/3" for die in range(4)]
    gone += [f"node/0/cpu/{cpu}/ub/3" for cpu in range(4)]
    lines = gigabytes(LineEnd.UB_DIE, "ub/0/3/2", *gone)
    assert lines[:DIES_PER_NODE] == pytest.approx([168.0] * 4 + [196.0] * 12)


def test_an_adapter_a_leaf_and_a_spine() -> None:
    assert gigabytes(LineEnd.RDMA_DIE, "npu/17/nic") == expected(25, {34: 0.0, 35: 0.0})
    assert gigabytes(LineEnd.RDMA_DIE, "npu/17/rdma/0") == expected(25, {34: 0.0, 35: 0.0})
    assert gigabytes(LineEnd.RDMA_DIE, "leaf/2") == expected(25, dict.fromkeys(range(128, 192), 0.0))
    # A leaf has a link up for each of its 32 NPUs, in turn to the six spines; its dies share what is left.
    to_spine = Counter(npu // 32 for npu in range(384) if npu % 6 == 1)
    shares = {die: 25 * (1 - to_spine[die // 64] / 32) for die in range(DIES)}
    assert gigabytes(LineEnd.RDMA_DIE, "spine/1") == expected(25, shares)
    assert sum(shares.values()) == pytest.approx(25 * DIES * 5 / 6)


def test_a_vpc_card_takes_its_node_off() -> None:
    assert gigabytes(LineEnd.VPC_NODE, "node/7/vpc") == expected(50, {7: 0.0}, NODES)


@pytest.mark.parametrize("plane", range(SUB_PLANES))
def test_with_one_sub_plane_down_all_reach_all(plane: int) -> None:
    assert gigabytes(LineEnd.UB_DIE, f"ub/{plane}") == expected(168, {})
    reached = reached_from(LINES.topology, Plane.UB, "npu/0/0", [f"ub/{plane}"])
    assert sum(device.startswith("npu/") for device in reached) == DIES


def test_with_all_sub_planes_down_nobody_reaches_another_node_over_ub() -> None:
    planes = [f"ub/{plane}" for plane in range(SUB_PLANES)]
    assert gigabytes(LineEnd.UB_DIE, *planes) == [0.0] * DIES
    assert not reached_from(LINES.topology, Plane.UB, "npu/0/0", planes)
    assert gigabytes(LineEnd.RDMA_DIE, *planes) == expected(25, {})
    # With the second level alone gone the node is still one, and nobody outside of it is reached.
    chips = [f"l2/{plane}/{chip}" for plane in range(SUB_PLANES) for chip in range(CHIPS)]
    assert gigabytes(LineEnd.UB_DIE, *chips) == [0.0] * DIES
    reached = reached_from(LINES.topology, Plane.UB, "npu/0/0", chips)
    assert {device for device in reached if device.startswith("npu/")} == {
        f"npu/{npu}/{die}" for npu in range(8) for die in range(2)
    }


parts = st.one_of(
    st.builds("l2/{}/{}".format, st.integers(0, 6), st.integers(0, 15)),
    st.builds("l1/{}/{}".format, st.integers(0, 47), st.integers(0, 6)),
    st.builds("npu/{}/{}/ub/{}".format, st.integers(0, 383), st.integers(0, 1), st.integers(0, 6)),
    st.builds("ub/{}/{}/{}".format, st.integers(0, 47), st.integers(0, 6), st.integers(0, 7)),
    st.builds("ub/{}".format, st.integers(0, 6)),
)


@given(st.lists(parts, max_size=8), parts)
@settings(max_examples=8)
def test_another_failure_never_gives_all_ends_together_more(failed: list[str], one_more: str) -> None:
    def rates(*gone: str) -> list[float]:
        found = gigabytes(LineEnd.UB_DIE, *gone)
        assert all(0 <= rate <= 196 + 1e-9 for rate in found)
        return [*found, *gigabytes(LineEnd.UB_CPU, *gone)]

    assert sum(rates(*failed, one_more)) <= sum(rates(*failed)) + 1e-6


def _shares(pairs: list[tuple[int, int]]) -> list[int]:
    """Bytes a second of flows from die to die, each spread over all ports."""
    line = round(LINES.whole_bytes_per_s(LineEnd.UB_DIE))
    shares = FairShares([line] * 2 * DIES, [Path((source, DIES + to), line) for source, to in pairs])
    for path in range(len(pairs)):
        shares.add(path, 1)
    shares.share_out()
    return [shares.level(path) for path in range(len(pairs))]


@given(st.permutations(range(DIES)))
@settings(max_examples=10)
def test_any_permutation_of_dies_runs_at_full_port_rate(targets: list[int]) -> None:
    pairs = list(enumerate(targets))
    assert set(_shares(pairs)) == {196 * GB}
    # Spread over the sub-planes and their chips it fits the links between first and second level, both ways.
    links = {(link.lower, link.upper): link.bytes_per_s for link in LINES.topology.links if link.is_optical}
    crossing = [(s // DIES_PER_NODE, t // DIES_PER_NODE) for s, t in pairs if s // DIES_PER_NODE != t // DIES_PER_NODE]
    for ends in zip(*crossing, strict=True):
        busiest = max(Counter(ends).values())
        assert busiest * PORT_GB * GB / CHIPS <= min(links[f"l1/{n}/0", "l2/0/0"] for n in range(NODES))


@given(st.integers(2, 60))
@settings(max_examples=10)
def test_incast_on_one_die_shares_its_ports(num_senders: int) -> None:
    pairs = [(source, 0) for source in range(1, num_senders + 1)]
    assert _shares([*pairs, (num_senders + 1, 1)]) == [196 * GB // num_senders] * num_senders + [196 * GB]
    assert np.sum(_shares(pairs)) <= 196 * GB
