"""How unevenly tokens fall on the ranks of an expert-parallel group, and what placing copies of experts does about it.

What a batch asks of the experts is a histogram: the load of expert e is its share of all (token, expert) assignments.
A load balancer that follows long-run averages (EPLB) removes the skew that lasts; what is left is the skew of the
batch at hand, which shrinks with the number of independent texts in it. The histogram is log-normal and made of
quantiles, so the same batch always gives the same answer.
"""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from heapq import heapify, heappop, heappush
from math import exp, log, sqrt
from statistics import NormalDist

Placement = tuple[tuple[int, ...], ...]
"""Experts on each rank; an expert with several copies appears several times."""


def skewed_histogram(num_experts: int, spread: float) -> tuple[float, ...]:
    """Loads of the experts, in expert order; they sum to 1 and have a standard deviation of `spread` times the mean."""
    sigma = sqrt(log(1.0 + spread * spread))
    loads = [exp(sigma * quantile) for quantile in _normal_quantiles(num_experts)]
    total = sum(loads)
    return tuple(load / total for load in loads)


@cache
def _normal_quantiles(count: int) -> tuple[float, ...]:
    # Which expert is hot is chance; a hash stands in for it, so that no generator is needed.
    ranks = sorted(range(count), key=lambda expert: blake2b(str(expert).encode()).digest())
    normal = NormalDist()
    return tuple(normal.inv_cdf((rank + 0.5) / count) for rank in ranks)


def copies_by_load(loads: tuple[float, ...], num_slots: int) -> list[int]:
    """Copies of each expert, one at least, `num_slots` in all; each further one goes where load per copy is highest.

    Raises ValueError if there are fewer slots than experts.
    """
    if num_slots < len(loads):
        raise ValueError(f"{num_slots} slots cannot hold {len(loads)} experts")
    copies = [1] * len(loads)
    heap = [(-load, expert) for expert, load in enumerate(loads)]
    heapify(heap)
    for _ in range(num_slots - len(loads)):
        _, expert = heappop(heap)
        copies[expert] += 1
        heappush(heap, (-loads[expert] / copies[expert], expert))
    return copies


def place_greedily(loads: tuple[float, ...], num_ranks: int, slots_per_rank: int) -> Placement:
    """Copies by load, the heaviest first, each on the least loaded rank that has a free slot (as EPLB packs)."""
    copies = copies_by_load(loads, num_ranks * slots_per_rank)
    items = sorted(
        ((loads[expert] / count, expert) for expert, count in enumerate(copies) for _ in range(count)), reverse=True
    )
    placed: list[list[int]] = [[] for _ in range(num_ranks)]
    heap = [(0.0, rank) for rank in range(num_ranks)]
    for load, expert in items:
        rank_load, rank = heappop(heap)
        placed[rank].append(expert)
        if len(placed[rank]) < slots_per_rank:
            heappush(heap, (rank_load + load, rank))
    return tuple(tuple(experts) for experts in placed)


@cache
def place_in_order(num_experts: int, num_ranks: int, slots_per_rank: int) -> Placement:
    """Experts in their order, blind to load, then second copies in the same order until all slots are taken."""
    slots = [slot % num_experts for slot in range(num_ranks * slots_per_rank)]
    return tuple(tuple(slots[rank * slots_per_rank : (rank + 1) * slots_per_rank]) for rank in range(num_ranks))


def slowest_rank_load(loads: tuple[float, ...], placement: Placement) -> float:
    """Load of the busiest rank over the mean, at least 1; the copies of an expert share its load equally."""
    copies = [0] * len(loads)
    for experts in placement:
        for expert in experts:
            copies[expert] += 1
    shares = [load / (num_copies or 1) for load, num_copies in zip(loads, copies, strict=True)]
    busiest = max([sum([shares[expert] for expert in experts]) for experts in placement])
    return max(1.0, busiest * len(placement))
