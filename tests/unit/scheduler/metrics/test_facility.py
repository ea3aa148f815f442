"""Nodes and racks share out what instances drew, wholly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.metrics.facility import Ground, Places


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 5)), min_size=1, max_size=6),
    st.integers(1, 8),
    st.integers(1, 4),
)
def test_shares_are_those_of_single_npus_and_sum_to_the_whole(
    sizes: list[tuple[int, int]], npus_per_node: int, nodes_per_rack: int
) -> None:
    npus: list[range] = []
    for num_npus, gap in sizes:
        begin = (npus[-1].stop if npus else 0) + gap
        npus.append(range(begin, begin + num_npus))
    joules = [7.0 * (index + 1) for index in range(len(npus))]
    places = Places(tuple(npus), (Ground(npus_per_node, nodes_per_rack),) * len(npus))
    by_node, by_rack = places.by_node(joules), places.by_rack(joules)
    assert sum(by_node.values()) == pytest.approx(sum(joules))
    assert sum(by_rack.values()) == pytest.approx(sum(joules))
    one_by_one: dict[str, float] = {}
    for of_instance, numbers in zip(joules, npus, strict=True):
        for npu in numbers:
            node = str(npu // npus_per_node)
            one_by_one[node] = one_by_one.get(node, 0.0) + of_instance / len(numbers)
    assert by_node == pytest.approx(one_by_one)
    for rack, of_rack in by_rack.items():
        nodes = range(int(rack) * nodes_per_rack, (int(rack) + 1) * nodes_per_rack)
        assert of_rack == pytest.approx(sum(by_node.get(str(node), 0.0) for node in nodes))
