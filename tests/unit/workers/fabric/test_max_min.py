"""Fair shares equal those of plain progressive filling, and closed forms where there are some."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.supernode import Endpoint
from sim_hw.network.topologies import build_topology
from sim_hw.planes import Plane
from tests.unit.sim_hw.network.reach import bytes_per_s
from workers.fabric.max_min import FairShares, Path

FINE = 10**6
"""Steps in a byte per second, where whole numbers stand for real ones."""

PORT = round(CLOUDMATRIX384.port(Plane.UB, Endpoint.DIE).bytes_per_s.value)


def step_by_step(capacities: list[int], flows: list[Path]) -> list[int]:
    """The rule of the module word for word: one flow at a time, one step at a time."""
    levels = [0] * len(flows)
    rising = {index for index, flow in enumerate(flows) if flow.limit}
    while rising:
        full = set[int]()
        for link, capacity in enumerate(capacities):
            over = [index for index, flow in enumerate(flows) if link in flow.links]
            needed = sum(levels[index] + (index in rising) for index in over)
            if needed > capacity:
                full.add(link)
        rising -= {index for index in rising if full.intersection(flows[index].links)}
        for index in rising:
            levels[index] += 1
        rising -= {index for index in rising if levels[index] == flows[index].limit}
    return levels


def exactly(capacities: list[int], flows: list[Path]) -> list[Fraction]:
    """Progressive filling in rational numbers, one bottleneck at a time."""
    levels: dict[int, Fraction] = {}
    while len(levels) < len(flows):
        events: list[tuple[Fraction, list[int]]] = [
            (Fraction(flow.limit), [index]) for index, flow in enumerate(flows) if index not in levels
        ]
        for link, capacity in enumerate(capacities):
            over = [index for index, flow in enumerate(flows) if link in flow.links]
            left = capacity - sum(levels[index] for index in over if index in levels)
            rising = [index for index in over if index not in levels]
            if rising:
                events.append((Fraction(left, len(rising)), rising))
        level, stopping = min(events)
        levels |= dict.fromkeys(stopping, level)
    return [levels[index] for index in range(len(flows))]


paths: st.SearchStrategy[Path] = st.builds(
    Path,
    st.sets(st.integers(0, 4), min_size=1, max_size=3).map(lambda links: tuple(sorted(links))),
    st.sampled_from([0, 1, 7, 20, 60]),
)
changes = st.lists(st.tuples(st.integers(0, 5), st.integers(-2, 3), st.sampled_from([None, None, 0, 5, 40, 100])))


def shared_out(shares: FairShares) -> set[int]:
    """The paths that were looked at."""
    shared = shares.share_out()
    for group in shared.groups:
        assert all(shares.group_of[path] is group for path in group.paths)
    for path in (*shared.free, *shared.contended):
        assert shares.group_of[path] is None
    return {*shared.free, *shared.contended, *(path for group in shared.groups for path in group.paths)}


def added(shares: FairShares, path: int, weight: int) -> set[int]:
    """Put weight on a path; the paths that were looked at."""
    return shared_out(shares) if shares.add(path, weight) else set()


def levels_of(shares: FairShares) -> list[int]:
    """Of all paths."""
    return [shares.level(path) for path in range(len(shares.weights))]


def singly(table: list[Path], weights: list[int]) -> list[Path]:
    """Every flow of every path on its own."""
    return [path for path, weight in zip(table, weights) for _ in range(weight)]


@given(st.lists(st.integers(0, 90), min_size=5, max_size=5), st.lists(paths, min_size=1, max_size=6), changes)
def test_levels_equal_those_of_flows_that_rise_one_by_one(
    capacities: list[int], table: list[Path], moves: list[tuple[int, int, int | None]]
) -> None:
    shares = FairShares(capacities, table)
    for number, weight, capacity in moves:
        path = number % len(table)
        before = levels_of(shares)
        if capacity is None:
            weight = max(weight, -shares.weights[path])
            group = shares.group_of[path]
            if weight < 0 and group is not None:
                shares.leave(group, path, -weight)
                changed = set(range(len(table))) if shares.regroup(group) else shared_out(shares)
            else:
                changed = added(shares, path, weight) if weight else set[int]()
        else:
            capacities[path % 5] = capacity
            shares.set_capacity(path % 5, capacity)
            changed = shared_out(shares)
        levels = levels_of(shares)
        assert changed >= {i for i, level in enumerate(levels) if level != before[i] and shares.weights[i]}
        flows = singly(table, shares.weights)
        naive = step_by_step(capacities, flows)
        assert [levels[i] for i, weight in enumerate(shares.weights) for _ in range(weight)] == naive
        for link, most in enumerate(capacities):
            assert sum(level for level, flow in zip(naive, flows) if link in flow.links) <= most


@given(
    st.lists(st.integers(1, 90), min_size=5, max_size=5),
    st.lists(paths, min_size=1, max_size=6),
    st.lists(st.integers(0, 4), min_size=6, max_size=6),
)
def test_levels_in_fine_steps_are_the_exact_ones(capacities: list[int], table: list[Path], counts: list[int]) -> None:
    shares = FairShares(
        [FINE * capacity for capacity in capacities], [Path(path.links, FINE * path.limit) for path in table]
    )
    for path, weight in zip(range(len(table)), counts):
        added(shares, path, weight)
    levels = [shares.level(i) for i, weight in enumerate(shares.weights) for _ in range(weight)]
    assert levels == pytest.approx(
        [float(level * FINE) for level in exactly(capacities, singly(table, shares.weights))], abs=50
    )


@given(st.permutations(range(24)))
def test_any_permutation_of_dies_runs_at_full_port_rate(target: list[int]) -> None:
    # Links: 0 to 23 out of a die, 24 to 47 into one, 48 to 50 out of a node of eight, 51 to 53 into one.
    capacities = [PORT] * 48 + [8 * PORT] * 6
    table = [Path((die, 24 + to, 48 + die // 8, 51 + to // 8), PORT) for die, to in enumerate(target)]
    shares = FairShares(capacities, table)
    for path in range(24):
        added(shares, path, 1)
    assert levels_of(shares) == [PORT] * 24


@pytest.mark.parametrize("num_senders", [1, 2, 7, 300])
def test_incast_on_one_die_shares_its_ports(num_senders: int) -> None:
    shares = FairShares([PORT] * (num_senders + 1), [Path((die, num_senders), PORT) for die in range(num_senders)])
    for die in range(num_senders):
        added(shares, die, 1)
    assert levels_of(shares) == [PORT // num_senders] * num_senders
    added(shares, 0, -1)
    assert levels_of(shares)[1:] == [PORT // max(1, num_senders - 1)] * (num_senders - 1)


def test_one_failed_second_level_chip_of_112_costs_its_share() -> None:
    topology = build_topology(CLOUDMATRIX384)
    up, left = (round(bytes_per_s(topology, Plane.UB, "l1/5/", "l2/", failed)) for failed in ([], ["l2/3/07"]))
    # Sixteen dies of a node send to other nodes; those of another node do not lose by it.
    shares = FairShares([up, up], [Path((0,), PORT), Path((1,), PORT)])
    added(shares, 0, 16)
    added(shares, 1, 16)
    assert levels_of(shares) == [PORT, PORT]
    shares.set_capacity(0, left)
    assert shared_out(shares) == {0}
    assert levels_of(shares) == [PORT * 111 // 112, PORT]
    # Fewer senders than ports do not notice, and a repair gives all back.
    assert added(shares, 0, -1) == {0}
    assert levels_of(shares) == [PORT, PORT]
    added(shares, 0, 1)
    shares.set_capacity(0, up)
    assert shared_out(shares) == {0}


def test_what_cannot_be_carried_is_refused_with_the_number() -> None:
    with pytest.raises(ValueError, match=r"cannot carry -3; give 0 or more"):
        FairShares([5, -3], [])
    with pytest.raises(ValueError, match=r"cannot carry -1; give 0 or more"):
        FairShares([5], [Path((0,), 1)]).set_capacity(0, -1)
