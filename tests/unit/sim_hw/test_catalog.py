"""The catalogue adds up, and every number in it has a parent."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from sim_hw.catalog import ASCEND_910C, CLOUDMATRIX384, Endpoint, Memory, Operation, Plane, Reach
from sim_hw.figure import Figure


def figures(part: object) -> Iterator[Figure]:
    if isinstance(part, Figure):
        yield part
    elif isinstance(part, tuple):
        for item in part:
            yield from figures(item)
    elif dataclasses.is_dataclass(part):
        for field in dataclasses.fields(part):
            yield from figures(getattr(part, field.name))


def test_every_figure_names_unit_and_source_and_is_positive() -> None:
    found = list(figures(CLOUDMATRIX384))
    assert len(found) > 30
    assert all(figure.unit and figure.source and figure.value > 0 for figure in found)


def test_the_supernode_has_its_published_counts() -> None:
    assert (CLOUDMATRIX384.num_npus, CLOUDMATRIX384.num_dies, CLOUDMATRIX384.num_racks) == (384, 768, 16)
    assert CLOUDMATRIX384.num_nodes.count * CLOUDMATRIX384.cpus_per_node.count == 192


def test_a_package_is_its_two_dies() -> None:
    assert ASCEND_910C.int8_ops == pytest.approx(1504e12)
    assert ASCEND_910C.bf16_flops == pytest.approx(707.8e12)
    assert ASCEND_910C.hbm_bytes_per_s == pytest.approx(3.2e12)


def test_totals_of_the_supernode_match_what_was_published() -> None:
    ub = CLOUDMATRIX384.port(Plane.UB, Endpoint.DIE).bytes_per_s.value
    rdma = CLOUDMATRIX384.port(Plane.RDMA, Endpoint.DIE).bytes_per_s.value
    assert CLOUDMATRIX384.num_dies * ub == pytest.approx(112 * 1344e9)
    assert CLOUDMATRIX384.num_dies * rdma * 8 == pytest.approx(153.6e12)


@pytest.mark.parametrize("memory", Memory)
@pytest.mark.parametrize("operation", Operation)
def test_the_other_node_is_slower_and_no_access_beats_the_line(memory: Memory, operation: Operation) -> None:
    near = CLOUDMATRIX384.ub_access(memory, operation, Reach.SAME_NODE)
    far = CLOUDMATRIX384.ub_access(memory, operation, Reach.OTHER_NODE)
    line = CLOUDMATRIX384.port(Plane.UB, Endpoint.DIE).bytes_per_s.value
    assert far.bytes_per_s.value < near.bytes_per_s.value < line
    # The paper's own summary: under 3 % less bandwidth and under 1 us more latency.
    assert far.bytes_per_s.value > 0.97 * near.bytes_per_s.value
    assert 0 < far.latency_s.value - near.latency_s.value < 1e-6


def test_an_unknown_port_is_named() -> None:
    with pytest.raises(LookupError, match="cpu port on the plane vpc"):
        CLOUDMATRIX384.port(Plane.VPC, Endpoint.CPU)
