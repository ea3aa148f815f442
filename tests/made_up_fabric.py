"""The real fabric of a case."""

from __future__ import annotations

from scheduler.protocol.addresses import (
    CACHE_ADDRESS,
    aggregated_address,
    cache_ssd_address,
    decode_address,
    prefill_address,
)
from scheduler.protocol.fabric_messages import Plane, TransferKind
from sim_hw.network.lines import LineEnd
from tests.made_up_lines import MadeUpLines
from tests.naive.case import Case, die_rate, rank_rate
from tests.sim.cache_parts import has_pool_ssd
from workers.fabric.fabric import Fabric
from workers.fabric.routes import FabricConfig, KvTransferRoutes, LinkGroup, PathProfile


def build_fabric(case: Case) -> Fabric:
    """Each rank and each die has a line on RDMA, each prefill instance one out and one in on UB, as the pool has.

    The further a prefill instance, the longer the way to the pool: so the right profile must be picked.
    """
    num_ranks = case.num_prefill * case.num_ranks
    num_lines = num_ranks + (case.num_decode + case.num_aggregated) * case.num_dies
    links = [LinkGroup(LineEnd.RDMA_DIE, range(number, number + 1)) for number in range(num_lines)]
    pool_out = len(links)
    links += [LinkGroup(LineEnd.UB_CPU, range(case.cache_servers), 1.0, CACHE_ADDRESS, 1)] * 2
    profiles: dict[tuple[TransferKind, Plane, str, str], PathProfile] = {}
    line = case.cache_line_bytes_per_s, case.stream_bytes_per_s
    for i in range(case.num_prefill + case.num_aggregated):
        name, into = _computing(case, i), len(links)
        links += [LinkGroup(LineEnd.UB_DIE, range(i, i + 1))] * 2
        rates = *line, case.num_streams, case.latency_ns + 100 * i
        profiles[TransferKind.CACHE_READ, Plane.UB, CACHE_ADDRESS, name] = PathProfile((pool_out, into), *rates)
        profiles[TransferKind.CACHE_WRITE, Plane.UB, name, CACHE_ADDRESS] = PathProfile(
            (into + 1, pool_out + 1), *rates
        )
    if case.keeps_answers:
        _add_answers(case, links, profiles)
    if has_pool_ssd(case):
        ssd, rates = cache_ssd_address(CACHE_ADDRESS), (*line, case.cache_servers, case.latency_ns)
        profiles[TransferKind.CACHE_SSD_READ, Plane.VPC, ssd, CACHE_ADDRESS] = PathProfile((len(links),), *rates)
        profiles[TransferKind.CACHE_SSD_WRITE, Plane.VPC, CACHE_ADDRESS, ssd] = PathProfile((len(links) + 1,), *rates)
        links += [LinkGroup(LineEnd.VPC_NODE, range(1))] * 2
    sources = {prefill_address(i): range(i * case.num_ranks, (i + 1) * case.num_ranks) for i in range(case.num_prefill)}
    destinations = {
        _decoding(case, i): range(num_ranks + i * case.num_dies, num_ranks + (i + 1) * case.num_dies)
        for i in range(case.num_decode + case.num_aggregated)
    }
    kv_transfer = KvTransferRoutes(sources, destinations, case.stream_bytes_per_s, case.latency_ns)
    return Fabric(
        FabricConfig(lines_in(case), links, kv_transfer, profiles, case.bytes_per_token, case.num_layers),
    )


def _computing(case: Case, index: int) -> str:
    """Who computes prompts, by index: prefill instances, then aggregated ones."""
    return prefill_address(index) if index < case.num_prefill else aggregated_address(index - case.num_prefill)


def _decoding(case: Case, index: int) -> str:
    """Who decodes, by index: decode instances, then aggregated ones."""
    return decode_address(index) if index < case.num_decode else aggregated_address(index - case.num_decode)


def _add_answers(
    case: Case, links: list[LinkGroup], profiles: dict[tuple[TransferKind, Plane, str, str], PathProfile]
) -> None:
    """A link out of each decode instance and, where there is no pool, one into each prefill instance: of one stream."""
    rates = case.cache_line_bytes_per_s, case.stream_bytes_per_s, 1, case.latency_ns
    pool_in = next(i for i, link in enumerate(links) if link.end is LineEnd.UB_CPU) + 1
    into = range(len(links), len(links) + case.num_prefill)
    links += [LinkGroup(LineEnd.UB_DIE, range(i, i + 1)) for i in range(case.num_prefill)]
    for i in range(case.num_decode + case.num_aggregated):
        name, out = _decoding(case, i), len(links)
        links.append(LinkGroup(LineEnd.UB_DIE, range(1)))
        profiles[TransferKind.CACHE_WRITE, Plane.UB, name, CACHE_ADDRESS] = PathProfile((out, pool_in), *rates)
        for j in range(case.num_prefill):
            key = TransferKind.CACHE_WRITE, Plane.RDMA, name, prefill_address(j)
            profiles[key] = PathProfile((out, into[j]), *rates)


def lines_in(case: Case) -> MadeUpLines:
    """On RDMA those of all ranks and then of all dies; on UB those of the prefill instances and of the pool."""
    ranks = [rank_rate(case, i, rank) for i in range(case.num_prefill) for rank in range(case.num_ranks)]
    dies = [
        die_rate(case, i, die) for i in range(case.num_decode + case.num_aggregated) for die in range(case.num_dies)
    ]
    return MadeUpLines(
        {
            LineEnd.RDMA_DIE: ranks + dies,
            LineEnd.UB_DIE: [case.prefill_bytes_per_s] * (case.num_prefill + case.num_aggregated),
            LineEnd.UB_CPU: _split(case.pool_bytes_per_s, case.cache_servers),
            **({LineEnd.VPC_NODE: [case.ssd_bytes_per_s]} if has_pool_ssd(case) else {}),
        }
    )


def _split(rate: int, num_servers: int) -> list[int]:
    """Whole numbers that differ by one at most."""
    return [(rate + server) // num_servers for server in range(num_servers)]
