"""A small fabric, and what is said to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import (
    Message,
    PartsChanged,
    StartTransfer,
    TransferDone,
    TransferFailed,
    TransferOverdue,
)
from sim_hw.network.lines import LineEnd
from tests.checkers.checkers import check_links
from tests.made_up_lines import MadeUpLines, part_of
from workers.fabric.background import BackgroundFlow
from workers.fabric.fabric import Fabric
from workers.fabric.routes import FabricConfig, KvTransferRoutes, LinkGroup, PathProfile

GB = 10**9
MB = 10**6
LATENCY_NS = 5_000
BYTES = 1_000
"""Of KV, a token."""

KV_TRANSFER, READ, WRITE = TransferKind.KV_TRANSFER, TransferKind.CACHE_READ, TransferKind.CACHE_WRITE

NUM_RANKS, NUM_DIES = 2, 4
RANKS = [part_of(LineEnd.RDMA_DIE, number) for number in range(2 * NUM_RANKS)]
"""Parts with which the lines of ranks fail: two of p0, two of p1."""
DIES = [part_of(LineEnd.RDMA_DIE, 2 * NUM_RANKS + number) for number in range(NUM_DIES)]
"""Those of the dies of d0: the first two read the first rank of a prefill instance, the others the second."""
UB_LINES = [part_of(LineEnd.UB_DIE, number) for number in range(2)]


def make_fabric(
    *,
    out_gb: int = 100,
    into_gb: int = 100,
    pool_gb: int = 1_000,
    num_layers: int = 10,
    background: Sequence[BackgroundFlow] = (),
) -> Fabric:
    """Two prefill instances of two ranks, a decode instance of four dies and a pool of two halves.

    A stream takes 25 GB/s; on UB four of them 200 GB/s each for 100. `out_gb` and `into_gb` are the lines of p0's first
    rank and of the dies; p1's ranks have more than anybody takes.
    """
    rates = {
        LineEnd.RDMA_DIE: [out_gb * GB, 100 * GB, 100 * GB, 100 * GB, *[into_gb * GB] * NUM_DIES],
        LineEnd.UB_DIE: [800 * GB, 800 * GB],
        LineEnd.UB_CPU: [pool_gb * GB // 2] * 2,
    }
    links = [LinkGroup(LineEnd.RDMA_DIE, range(number, number + 1)) for number in range(2 * NUM_RANKS + NUM_DIES)]
    first = len(links)
    links += [LinkGroup(LineEnd.UB_CPU, range(2))] * 2
    profiles: dict[tuple[TransferKind, Plane, str, str], PathProfile] = {}
    for i in (0, 1):
        links += [LinkGroup(LineEnd.UB_DIE, range(i, i + 1))] * 2
        into, out = first + 2 + 2 * i, first + 3 + 2 * i
        profiles[READ, Plane.UB, "cache", f"p{i}"] = PathProfile((first, into), 200 * GB, 100 * GB, 4, 1_000)
        profiles[WRITE, Plane.UB, f"p{i}", "cache"] = PathProfile((out, first + 1), 200 * GB, 100 * GB, 4, 1_000)
    sources = {"p0": range(NUM_RANKS), "p1": range(NUM_RANKS, 2 * NUM_RANKS)}
    kv_transfer = KvTransferRoutes(sources, {"d0": range(2 * NUM_RANKS, first)}, 25 * GB, LATENCY_NS)
    lines = MadeUpLines(rates)
    return Fabric(FabricConfig(lines, links, kv_transfer, profiles, BYTES, num_layers, background=background))


def moving(
    number: int,
    *megabytes: int,
    dies: list[int] | None = None,
    kind: TransferKind = KV_TRANSFER,
    prefill: str = "p0",
    made: bool = True,
) -> StartTransfer:
    """A transfer of some requests; a KV transfer to these dies, all to the first if none are named."""
    plane, ends, to = Plane.UB, ("cache", prefill), list[int]()
    if kind != READ:
        ends = (prefill, "cache")
    if kind == KV_TRANSFER:
        plane, ends, to = Plane.RDMA, (prefill, "d0"), dies or [0] * len(megabytes)
    return StartTransfer(number, kind, plane, *ends, [size * MB // BYTES for size in megabytes], to, made)


Told = TransferDone | TransferFailed | TransferOverdue


def run(fabric: Fabric, said: Iterable[tuple[int, Message]]) -> dict[int, Told]:
    """Say this at these times and wake the fabric when it wants to be; what it has told by the time it is silent."""
    told: dict[int, Told] = {}
    waiting = sorted(said, key=lambda one: one[0])
    last_ns = 0
    while waiting or fabric.deadline_ns != NEVER_NS:
        if waiting and waiting[0][0] <= fabric.deadline_ns:
            now_ns, message = waiting.pop(0)
            outputs = fabric.handle(now_ns, message)
        else:
            now_ns = fabric.deadline_ns
            outputs = fabric.wake(now_ns)
        assert now_ns >= last_ns, "time goes back"
        last_ns = now_ns
        check_links(fabric)
        for address, done in outputs:
            assert address == "core"
            if isinstance(done, PartsChanged):
                assert done.changed_ns == now_ns
                continue
            assert isinstance(done, Told)
            assert done.transfer_id not in told
            if isinstance(done, TransferDone):
                assert done.done_ns == now_ns or done.kind == WRITE
            told[done.transfer_id] = done
    return told


def done_at(fabric: Fabric, said: Iterable[tuple[int, Message]]) -> dict[int, TransferDone]:
    """The same, where nothing fails."""
    told = run(fabric, said)
    return {number: done for number, done in told.items() if isinstance(done, TransferDone)}
