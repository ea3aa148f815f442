"""How the control plane reaches its hosts: Ray calls, each with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import ray

from scheduler.protocol.errors import ClusterError
from workers.ray_shell.failures import from_ray
from workers.ray_shell.host import CALL_S, HostActor, HostSpec
from workers.ray_shell.identity import Identity

LOOK_S: Final = 0.5
"""Wall seconds between two looks at whether somebody wants to give up waiting."""


class RayWorkerTransport:
    """A `WorkerTransport` over actor handles by host name."""

    def __init__(self, handles: Mapping[str, Any], hosts: Mapping[str, Sequence[str]]) -> None:
        self._handles = dict(handles)
        self._hosts = dict(hosts)

    @property
    def hosts(self) -> Mapping[str, Sequence[str]]:
        """Names of the hosts, and the addresses of the components on each."""
        return self._hosts

    async def send(self, host: str, envelope: bytes) -> bytes:
        """Deliver one envelope; answers the host's next one. A `ClusterError` if it cannot, within `CALL_S`."""
        try:
            reply: bytes = await asyncio.wait_for(self._handles[host].receive.remote(envelope), CALL_S)
        except Exception as error:
            raise from_ray(host, error) from error
        return reply


def start_hosts(specs: Sequence[HostSpec], expected: Identity, control: Any, **options: Any) -> dict[str, Any]:
    """Start one actor per host, which takes its NPUs and no CPU; answers their handles, not yet ready."""
    actor = ray.remote(HostActor)
    return {
        spec.name: actor.options(
            name=spec.name,
            num_cpus=0,
            resources={"NPU": spec.num_npus} if spec.num_npus else {},
            max_restarts=0,
            **options,
        ).remote(spec, expected, control)
        for spec in specs
    }


def wait_ready(handles: Mapping[str, Any], timeout_s: float, look: Callable[[], None] = lambda: None) -> None:
    """The barrier: return when every actor has answered; `ClusterError` naming the first that is not well."""
    calls = {name: handle.ready.remote() for name, handle in handles.items()}
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
