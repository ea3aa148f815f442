"""A clock and a carrier for the live runtime without Ray: time stands still until everybody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scheduler.protocol.component import NEVER_NS, Component
from scheduler.protocol.errors import ClusterError
from scheduler.runtime.live import LiveEnd, LiveRuntime
from scheduler.runtime.virtual import Tap
from workers.ray_shell.host_loop import HostLoop

SETTLED_TURNS = 12
"""Turns of the event loop in which nothing moves before time goes on."""


class FakeTime:
    """Emulated time that jumps to the next deadline when nobody has anything to do at this instant."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.busy = 0
        self._waiting: dict[int, tuple[int, asyncio.Event]] = {}

    def clock(self, rank: int) -> FakeClock:
        """The clock of one participant; of two with one deadline the lower rank is woken first, and alone."""
        return FakeClock(self, rank)

    async def wait(self, rank: int, changed: asyncio.Event, deadline_ns: int) -> None:
        self._waiting[rank] = (deadline_ns, changed)
        await changed.wait()
        del self._waiting[rank]

    async def run(self, participants: int) -> None:
        """Let time go on whenever everything has settled, for as long as anybody waits for it."""
        settled = 0
        while True:
            await asyncio.sleep(0)
            idle = len(self._waiting) == participants and not any(event.is_set() for _, event in self._waiting.values())
            settled = settled + 1 if idle and not self.busy else 0
            if settled < SETTLED_TURNS:
                continue
            deadline_ns, rank = min((deadline_ns, rank) for rank, (deadline_ns, _) in self._waiting.items())
            assert deadline_ns != NEVER_NS, "everybody waits for ever"
            self.now_ns = max(self.now_ns, deadline_ns)
            self._waiting[rank][1].set()
            settled = 0


class FakeClock:
    """One participant's view of `FakeTime`."""

    def __init__(self, time: FakeTime, rank: int) -> None:
        self.speed = 1.0
        self._time = time
        self._rank = rank

    def now_ns(self) -> int:
        """The instant at which time stands."""
        return self._time.now_ns

    async def wait(self, changed: asyncio.Event, deadline_ns: int) -> None:
        """Wait for either."""
        await self._time.wait(self._rank, changed, deadline_ns)


class FakeTransport:
    """Hosts in this process. `turns` says how many turns of the loop the next envelope takes: they may overtake."""

    def __init__(self, time: FakeTime, turns: Callable[[], int] = lambda: 1) -> None:
        self.loops: dict[str, HostLoop] = {}
        self.addresses: dict[str, Sequence[str]] = {}
        self.dead: set[str] = set()
        self.num_sent = 0
        self._time = time
        self._turns = turns

    @property
    def hosts(self) -> Mapping[str, Sequence[str]]:
        """Addresses by host."""
        return self.addresses

    async def send(self, host: str, envelope: bytes) -> bytes:
        """There and back."""
        self.num_sent += 1
        await self._travel()
        if host in self.dead:
            raise ClusterError(f"{host} is gone")
        reply = self.loops[host].receive(envelope)
        await self._travel()
        return reply

    async def post(self, runtime: LiveRuntime, envelope: bytes) -> None:
        """From a host."""
        await self._travel()
        runtime.deliver(envelope)

    async def _travel(self) -> None:
        self._time.busy += 1
        try:
            for _ in range(self._turns()):
                await asyncio.sleep(0)
        finally:
            self._time.busy -= 1


class FakeCluster:
    """A live system in one process: one host per worker but the first, which has fabric and cache."""

    def __init__(
        self,
        parts: Any,
        workers: Sequence[Component],
        *,
        turns: Callable[[], int] = lambda: 1,
        taps: Sequence[Tap] = (),
    ) -> None:
        self.time = FakeTime()
        self.transport = FakeTransport(self.time, turns)
        groups = [list(workers[:2]), *([worker] for worker in workers[2:])]
        for group in groups:
            self.transport.addresses[group[0].address] = tuple(worker.address for worker in group)
        self.runtime = LiveRuntime(
            [parts.source, parts.core], "core", self.transport, self.time.clock(0), (parts.tap, *taps)
        )
        for rank, group in enumerate(groups, 1):
            self.transport.loops[group[0].address] = HostLoop(
                group[0].address, group, self.time.clock(rank), lambda data: self.transport.post(self.runtime, data)
            )

    async def run(self) -> LiveEnd:
        """Run to the end."""
        hosts = [asyncio.create_task(loop.run()) for loop in self.transport.loops.values()]
        ticker = asyncio.create_task(self.time.run(len(hosts) + 1))
        running = asyncio.create_task(self.runtime.run())
        try:
            done, _ = await asyncio.wait([running, ticker], return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()  # type: ignore[return-value]
        finally:
            for task in (running, ticker, *hosts):
                task.cancel()
