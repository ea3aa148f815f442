"""A small system of one instance of four dies at 100 GB/s each beside a pool, for tests of what they share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from scheduler.protocol.component import NEVER_NS, Component
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import Message, StartTransfer
from sim_hw.network.lines import LineEnd
from workers.fabric.background import BackgroundFlow
from workers.fabric.expert_traffic import ExpertLinks
from workers.fabric.fabric import Fabric
from workers.fabric.routes import FabricConfig, KvTransferRoutes, LinkGroup, PathProfile

GB = 10**9
MS = 1_000_000
DIES = 4
LINE = 100 * GB


class Rates:
    """100 GB/s of each die, ten times all of them out of the pool."""

    def bytes_per_s(self, end: LineEnd, failed: Collection[str] = ()) -> NDArray[np.float64]:
        return np.full(DIES, 10.0 * DIES * LINE if end is LineEnd.UB_CPU else float(LINE))


def make_fabric(*, expert_traffic: bool = True, background: Sequence[BackgroundFlow] = ()) -> Fabric:
    """Link 0 is the pool's, 1 is into the instance and 2 out of it; a token is 100 bytes, and nothing has a latency."""
    links = [LinkGroup(LineEnd.UB_CPU, range(1)), *[LinkGroup(LineEnd.UB_DIE, range(DIES))] * 2]
    profiles = {
        (TransferKind.CACHE_READ, Plane.UB, "cache", "p0"): PathProfile((0, 1), LINE, LINE, DIES, 0),
        (TransferKind.CACHE_WRITE, Plane.UB, "p0", "cache"): PathProfile((2, 0), LINE, LINE, DIES, 0),
    }
    ends = {"p0": ExpertLinks(1, 2, DIES, LINE)} if expert_traffic else {}
    return Fabric(FabricConfig(Rates(), links, KvTransferRoutes({}, {}, 1, 0), profiles, 100, 1, ends, background))


def read(number: int, tokens: int) -> StartTransfer:
    """Four times as many tokens as milliseconds x 1e6 take that long alone."""
    return StartTransfer(number, TransferKind.CACHE_READ, Plane.UB, "cache", "p0", [tokens], [], True)


def run_fabric(fabric: Fabric, said: Iterable[tuple[int, Message]]) -> list[tuple[int, Message]]:
    """Say this at these times; what was told when, until the fabric is silent."""
    return [(time, message) for time, _, message in run({"fabric": fabric}, [(t, "fabric", m) for t, m in said])]


def run(components: dict[str, Component], said: Iterable[tuple[int, str, Message]]) -> list[tuple[int, str, Message]]:
    """Say this to these at these times, and let them talk to each other; what nobody here was told."""
    told: list[tuple[int, str, Message]] = []
    waiting = sorted(said, key=lambda one: one[0])
    while True:
        first = min(components.values(), key=lambda one: (one.deadline_ns, one.priority))
        if waiting and waiting[0][0] <= first.deadline_ns:
            now_ns, address, message = waiting.pop(0)
            outputs = list(components[address].handle(now_ns, message))
        elif first.deadline_ns != NEVER_NS:
            now_ns = first.deadline_ns
            outputs = list(first.wake(now_ns))
        else:
            return told
        while outputs:
            address, message = outputs.pop(0)
            if address in components:
                outputs += components[address].handle(now_ns, message)
            else:
                told.append((now_ns, address, message))
