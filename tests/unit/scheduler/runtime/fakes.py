"""A clock and a carrier for the live runtime without Ray: time stands still until everybody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scheduler.protocol.component import NEVER_NS, Component
from scheduler.protocol.errors import ClusterError, WorkerLostError
from scheduler.runtime.live import LiveEnd, LiveRuntime
from scheduler.runtime.peer import sender_name
from workers.ray_shell.host_loop import HostLoop

SETTLED_TURNS = 12
"""Turns of the event loop in which nothing moves before time goes on."""


class FakeTime:
    """Emulated time that jumps to the next deadline when nobody has anything to do at this instant."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.busy = 0
        self.num_participants = 0
        self._waiting: dict[int, tuple[int, asyncio.Event]] = {}

    def clock(self, rank: int) -> FakeClock:
        """The clock of one participant; of two with one deadline the lower rank is woken first, and alone."""
        return FakeClock(self, rank)

    async def wait(self, rank: int, changed: asyncio.Event, deadline_ns: int) -> None:
        self._waiting[rank] = (deadline_ns, changed)
        try:
            await changed.wait()
        finally:
            del self._waiting[rank]

    async def run(self) -> None:
        """Let time go on whenever everything has settled, for as long as anybody waits for it."""
        settled = 0
        while True:
            await asyncio.sleep(0)
            idle = len(self._waiting) == self.num_participants and not self.busy
            idle = idle and not any(event.is_set() for _, event in self._waiting.values())
            settled = settled + 1 if idle else 0
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
    """Hosts in this process. `turns` says how many turns of the loop the next envelope takes: they may overtake; and
    `late_ns` how far time goes on meanwhile, so that it comes late.

    Hosts may be `lead_ns` ahead. `make_worker` is `(address, began_ns) -> Component`; a host in `cursed` does not come
    back when it was killed, and one in `num_to_die` dies so many times while it comes back.
    """

    def __init__(
        self,
        time: FakeTime,
        make_worker: Callable[[str, int], Component],
        turns: Callable[[], int] = lambda: 1,
        late_ns: Callable[[], int] = lambda: 0,
        lead_ns: int = 0,
    ) -> None:
        self.addresses: dict[str, Sequence[str]] = {}
        self.cursed: set[str] = set()
        self.homeless: dict[str, asyncio.Event] = {}
        self.num_to_die: dict[str, int] = {}
        self._num_died: dict[str, int] = {}
        self.num_sent = 0
        self.runtime: LiveRuntime | None = None
        self._loops: dict[str, HostLoop] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._time = time
        self._make_worker = make_worker
        self._turns = turns
        self._late_ns = late_ns
        self._lead_ns = lead_ns

    def start(self, host: str, sender: str, began_ns: int = 0) -> None:
        """A process of that host begins."""
        components = [self._make_worker(address, began_ns) for address in self.addresses[host]]
        rank = 1 + list(self.addresses).index(host)
        clock, lead_ns = self._time.clock(rank), self._lead_ns
        loop = self._loops[host] = HostLoop(sender, components, clock, self.post, began_ns, lead_ns)
        task = self._tasks[host] = asyncio.create_task(loop.run())
        self._time.num_participants += 1
        task.add_done_callback(self._ended)

    def kill(self, host: str) -> None:
        """It dies; what is on its way to it is lost."""
        del self._loops[host]
        self._tasks.pop(host).cancel()

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._time.num_participants -= 1

    def close(self) -> None:
        """All end."""
        for task in self._tasks.values():
            task.cancel()

    @property
    def hosts(self) -> Mapping[str, Sequence[str]]:
        """Addresses by host."""
        return self.addresses

    async def send(self, host: str, envelope: bytes) -> bytes:
        """There and back."""
        self.num_sent += 1
        before = self._loops.get(host)
        await self._travel()
        loop = self._loops.get(host)
        if loop is None or loop is not before:
            raise WorkerLostError(f"{host} is gone")
        reply = loop.receive(envelope)
        await self._travel()
        return reply

    async def revive(self, host: str, sender: str, began_ns: int) -> int:
        """Another process takes the place of a dead one, as soon as there is room for it."""
        await self._travel()
        if host in self.homeless:
            await self.homeless[host].wait()
            del self.homeless[host]
        if host in self.cursed:
            raise ClusterError(f"{host} did not come back")
        if self.num_to_die.get(host, 0):
            self.num_to_die[host] -= 1
            self._num_died[host] = self._num_died.get(host, 0) + 1
            raise WorkerLostError(f"{host} is gone again")
        self.start(host, sender, began_ns)
        return 1 + self._num_died.pop(host, 0)

    def waits_for(self, host: str) -> str:
        """Room, if it is homeless."""
        return "waits for room" if host in self.homeless else ""

    async def post(self, envelope: bytes) -> None:
        """From a host."""
        await self._travel()
        assert self.runtime is not None
        self.runtime.deliver(envelope)

    async def _travel(self) -> None:
        self._time.busy += 1
        try:
            for _ in range(self._turns()):
                await asyncio.sleep(0)
            self._time.now_ns += self._late_ns()
        finally:
            self._time.busy -= 1


class FakeCluster:
    """A live system in one process: one host per worker, but the first two, fabric and cache, share one."""

    def __init__(
        self,
        parts: Any,
        addresses: Sequence[str],
        make_worker: Callable[[str, int], Component],
        *,
        turns: Callable[[], int] = lambda: 1,
        late_ns: Callable[[], int] = lambda: 0,
        metered: Sequence[str] = (),
        num_open: Callable[[], int] = lambda: 0,
        patience_s: float = 0.0,
        lead_ns: int = 0,
    ) -> None:
        self.time = FakeTime()
        self.time.num_participants = 1
        self.transport = FakeTransport(self.time, make_worker, turns, late_ns, lead_ns)
        for group in (addresses[:2], *([address] for address in addresses[2:])):
            self.transport.addresses[group[0]] = tuple(group)
        self.runtime = LiveRuntime(
            [*parts.sources, parts.core],
            "core",
            self.transport,
            self.time.clock(0),
            metered=metered,
            keep_open=not parts.sources,
            num_open=num_open,
            patience_s=patience_s,
            lead_ns=lead_ns,
        )
        self.transport.runtime = self.runtime

    async def run(self) -> LiveEnd:
        """Run to the end."""
        for host in self.transport.addresses:
            self.transport.start(host, sender_name(host, "0", 0))
        ticker = asyncio.create_task(self.time.run())
        running = asyncio.create_task(self.runtime.run())
        try:
            done, _ = await asyncio.wait([running, ticker], return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()  # type: ignore[return-value]
        finally:
            self.transport.close()
            for task in (running, ticker):
                task.cancel()
