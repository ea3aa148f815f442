"""How the control plane reaches its hosts: Ray calls, each with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import ray

from scheduler.protocol.errors import ClusterError, WorkerLostError
from workers.ray_shell.failures import from_ray
from workers.ray_shell.host import CALL_S, HostActor, HostSpec
from workers.ray_shell.identity import Identity

REVIVE_S: Final = 60.0
"""Wall seconds for Ray to have another process in place of a dead one; it takes about 2."""

RETRY_S: Final = 0.2
"""Wall seconds between two questions whether it is there."""

LOOK_S: Final = 0.5
"""Wall seconds between two looks at whether somebody wants to give up waiting."""


class RayWorkerTransport:
    """A `WorkerTransport` over actor handles by host name, for one run; `spec` is what the run's workers are made from.

    Each worker's spec has `began_ns` besides: emulated time from which it accounts.
    """

    def __init__(
        self,
        handles: Mapping[str, Any],
        hosts: Mapping[str, Sequence[str]],
        spec: Mapping[str, Any],
        expected: Identity,
    ) -> None:
        self._handles = dict(handles)
        self._hosts = dict(hosts)
        self._spec = dict(spec)
        self._expected = expected
        self._zero_wall_ns = 0
        self._speed = 1.0

    @property
    def hosts(self) -> Mapping[str, Sequence[str]]:
        """Names of the hosts, and the addresses of the components on each."""
        return self._hosts

    async def assign(self, senders: Mapping[str, str]) -> None:
        """Have every host make its components; `senders` are the hosts' names on envelopes of this run."""
        await asyncio.gather(*(self._settle(host, sender, 0) for host, sender in senders.items()))

    async def begin(self, zero_wall_ns: int, speed: float) -> None:
        """Start the clocks of all hosts."""
        self._zero_wall_ns, self._speed = zero_wall_ns, speed
        await asyncio.gather(*(self._call(host, "begin", zero_wall_ns, speed) for host in self._hosts))

    async def send(self, host: str, envelope: bytes) -> bytes:
        """Deliver one envelope; returns the host's next one. A `ClusterError` if it cannot, within `CALL_S`."""
        reply: bytes = await self._call(host, "receive", envelope)
        return reply

    async def revive(self, host: str, sender: str, began_ns: int) -> None:
        """Return when the process that Ray starts in place of a dead one runs; a `ClusterError` after `REVIVE_S`."""
        await self._settle(host, sender, began_ns)
        await self._call(host, "begin", self._zero_wall_ns, self._speed)

    async def _settle(self, host: str, sender: str, began_ns: int) -> None:
        """Have one host make its components, as soon as its process is there."""
        try:
            async with asyncio.timeout(REVIVE_S):
                while not await self._is_ready(host):
                    await asyncio.sleep(RETRY_S)
        except TimeoutError:
            raise ClusterError(f"{host} did not come back within {REVIVE_S:.0f} s") from None
        await self._call(host, "assign", sender, {**self._spec, "began_ns": began_ns})

    async def _is_ready(self, host: str) -> bool:
        try:
            line = await self._call(host, "ready", self._expected)
        except WorkerLostError:
            return False
        if line:
            raise ClusterError(f"{host}: {line}")
        return True

    async def _call(self, host: str, method: str, *arguments: Any) -> Any:
        try:
            return await asyncio.wait_for(getattr(self._handles[host], method).remote(*arguments), CALL_S)
        except Exception as error:
            raise from_ray(host, error) from error


def start_hosts(specs: Sequence[HostSpec], control: Any, **options: Any) -> dict[str, Any]:
    """Start one actor per host, which takes its NPUs and no CPU; returns their handles, not yet ready.

    Ray starts a dead one again, without end; what was under way at that time fails once and is never run twice.
    """
    actor = ray.remote(HostActor)
    return {
        spec.name: actor.options(
            name=spec.name,
            num_cpus=0,
            resources={"NPU": spec.num_npus} if spec.num_npus else {},
            max_restarts=-1,
            max_task_retries=0,
            **options,
        ).remote(spec, control)
        for spec in specs
    }


def wait_ready(
    handles: Mapping[str, Any], expected: Identity, timeout_s: float, look: Callable[[], None] = lambda: None
) -> None:
    """The barrier: return when every actor has answered; `ClusterError` naming the first that is not well."""
    calls = {name: handle.ready.remote(expected) for name, handle in handles.items()}
    for name, line in call_all(calls, timeout_s, look).items():
        if line:
            raise ClusterError(f"{name}: {line}")


def call_all(calls: Mapping[str, Any], timeout_s: float, look: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Results of calls that are under way, by the part called; the deadline is for all together.

    `look` is called every `LOOK_S` and may raise, to give up.
    """
    left_s, waiting = timeout_s, list(calls.values())
    while waiting and left_s > 0:
        look()
        _, waiting = ray.wait(list(calls.values()), num_returns=len(calls), timeout=min(left_s, LOOK_S))
        left_s -= LOOK_S
    results: dict[str, Any] = {}
    for name, call in calls.items():
        if call in waiting:
            continue
        try:
            results[name] = ray.get(call)
        except Exception as error:
            raise from_ray(name, error) from error
    if waiting:
        silent = [name for name in calls if name not in results]
        raise ClusterError(f"{', '.join(silent[:3])} ({len(silent)} parts in all) not ready within {timeout_s:.0f} s")
    return results
