"""Carries envelopes to hosts, whatever makes the calls: what becomes of a host that is silent, or dies while it begins.

A host that does not answer within `SILENT_S` may hang for ever, or come to and go on in a run that has moved on
without it. So it is *fenced*: its process is ended for certain, and from then on it is one that died.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

from scheduler.protocol.errors import ClusterError, WorkerLostError

SILENT_S: Final = 10.0
"""Wall seconds within which a host answers an envelope; one that is stopped or hangs is ended then."""

ASSIGN_S: Final = 60.0
"""Wall seconds within which a host makes its components: it reads its settings and lays out its tables."""

REVIVE_S: Final = 60.0
"""Wall seconds for another process to be in place of a dead one; it takes about 2."""

RETRY_S: Final = 0.2
"""Wall seconds between two questions whether it is there."""

MAX_BEGINNINGS: Final = 10
"""Times in a row that a host's process may die while a run begins."""


class HostCalls(Protocol):
    """Calls of hosts, as Ray makes them or a test."""

    async def call(self, host: str, method: str, arguments: Sequence[Any], deadline_s: float) -> Any:
        """The method's result. `TimeoutError` without one in time, `WorkerLostError` if the host's process died, else
        what the host raised, or a `ClusterError`."""
        ...

    def fence(self, host: str) -> None:
        """End the host's process for certain, whether it listens or not; another takes its place."""
        ...


class Places(Protocol):
    """Where hosts run, which may be nowhere: a node was lost, and no other has room."""

    def waits_for(self, host: str) -> str:
        """What a host waits for, for a person; empty for one that has a place."""
        ...

    async def placed(self, host: str) -> None:
        """Return when a host has a place."""
        ...


class OneNode:
    """`Places` of hosts that share a node with whoever speaks to them: they always have one."""

    def waits_for(self, host: str) -> str:
        """Nothing."""
        return ""

    async def placed(self, host: str) -> None:
        """At once."""


class Zero(Protocol):
    """The clock of a run, which can say when it was at zero."""

    speed: float

    def wall_zero_ns(self) -> int:
        """What the wall clock, as it is set now, showed at clock zero."""
        ...


class HostCarrier:
    """A `WorkerTransport` for one run; `spec` is what the run's workers are made from.

    Each worker's spec has `began_ns` besides: emulated time from which it accounts. Hosts may be `lead_ns` of emulated
    time ahead.
    """

    def __init__(
        self,
        calls: HostCalls,
        hosts: Mapping[str, Sequence[str]],
        spec: Mapping[str, Any],
        expected: Any,
        places: Places | None = None,
        lead_ns: int = 0,
    ) -> None:
        self._calls = calls
        self._places = places or OneNode()
        self._hosts = dict(hosts)
        self._spec = dict(spec)
        self._expected = expected
        self._lead_ns = lead_ns
        self._clock: Zero | None = None
        # Which process of a host is spoken to: a call that comes back late must not have its successor ended.
        self._process = dict.fromkeys(hosts, 0)
        self._num_restarts = dict.fromkeys(hosts, 0)

    @property
    def hosts(self) -> Mapping[str, Sequence[str]]:
        """Names of the hosts, and the addresses of the components on each."""
        return self._hosts

    async def assign(self, senders: Mapping[str, str]) -> None:
        """Have every host make its components; `senders` are the hosts' names on envelopes of this run."""
        await asyncio.gather(*(self._assign(host, sender) for host, sender in senders.items()))

    async def begin(self, clock: Zero) -> None:
        """Start the clocks of all hosts. Whose process dies meanwhile is found out by the first envelope."""
        self._clock = clock
        await asyncio.gather(*(self._begin(host) for host in self._hosts))

    async def send(self, host: str, envelope: bytes) -> bytes:
        """Deliver one envelope; returns the host's next one. `WorkerLostError` if its process died or was ended."""
        reply: bytes = await self._call(host, "receive", envelope)
        return reply

    async def revive(self, host: str, sender: str, began_ns: int) -> int:
        """Return when the process in place of a dead one runs: how many there have been since the last that ran.

        `WorkerLostError` if it died as well meanwhile, `ClusterError` if none comes within `REVIVE_S`. A host that has
        no place is waited for without end: whether a run can go on without it is not known here.
        """
        self._process[host] += 1
        await self._places.placed(host)
        await self._settle(host, sender, began_ns)
        assert self._clock is not None, "nobody is revived before the run began"
        # The wall clock may have been set since the run began.
        await self._call(host, "begin", self._clock.wall_zero_ns(), self._clock.speed, self._lead_ns)
        before, self._num_restarts[host] = self._num_restarts[host], await self._call(host, "num_restarts")
        return max(1, self._num_restarts[host] - before)

    def waits_for(self, host: str) -> str:
        """What a host that is lost waits for, if it is more than its start."""
        return self._places.waits_for(host)

    async def _assign(self, host: str, sender: str) -> None:
        last = ""
        for _ in range(MAX_BEGINNINGS):
            try:
                async with asyncio.timeout(REVIVE_S):
                    await self._places.placed(host)
                await self._settle(host, sender, 0)
                self._num_restarts[host] = await self._call(host, "num_restarts")
            except WorkerLostError as error:
                self._process[host] += 1
                last = str(error)
            except TimeoutError:
                raise ClusterError(f"{host} {self.waits_for(host)}; it did not come within {REVIVE_S:.0f} s") from None
            else:
                return
        raise ClusterError(f"{host} died {MAX_BEGINNINGS} times in a row while the run began: {last}")

    async def _begin(self, host: str) -> None:
        assert self._clock is not None
        with suppress(WorkerLostError):  # the first envelope says so to the run, and another process takes its place
            await self._call(host, "begin", self._clock.wall_zero_ns(), self._clock.speed, self._lead_ns)

    async def _settle(self, host: str, sender: str, began_ns: int) -> None:
        """Have one host make its components, as soon as its process is there."""
        try:
            async with asyncio.timeout(REVIVE_S):
                while not await self._is_ready(host):
                    await asyncio.sleep(RETRY_S)
        except TimeoutError:
            if why := self.waits_for(host):  # its node has gone meanwhile
                raise WorkerLostError(f"{host} {why}") from None
            self._calls.fence(host)  # one that hangs must not hang whoever tries again
            raise ClusterError(f"{host} did not come back within {REVIVE_S:.0f} s") from None
        await self._call(host, "assign", sender, {**self._spec, "began_ns": began_ns}, deadline_s=ASSIGN_S)

    async def _is_ready(self, host: str) -> bool:
        try:
            # A process that is only just being started answers late, and is none to be ended.
            line = await self._calls.call(host, "ready", (self._expected,), REVIVE_S)
        except WorkerLostError:
            return False
        if line:
            raise ClusterError(f"{host}: {line}")
        return True

    async def _call(self, host: str, method: str, *arguments: Any, deadline_s: float = SILENT_S) -> Any:
        process = self._process[host]
        try:
            return await self._calls.call(host, method, arguments, deadline_s)
        except TimeoutError:
            if self._process[host] == process:
                self._process[host] += 1
                self._calls.fence(host)
            raise WorkerLostError(f"{host} was silent for {deadline_s:g} s, and was ended") from None
