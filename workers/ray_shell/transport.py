"""Ray's part of reaching hosts: their start, and calls, each with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import ray

from scheduler.protocol.errors import ClusterError, SilentError
from workers.ray_shell.failures import from_ray
from workers.ray_shell.host import HostActor, HostSpec
from workers.ray_shell.identity import Identity
from workers.ray_shell.placement_groups import Seating

LOOK_S: Final = 0.5
"""Wall seconds between two looks at whether somebody wants to give up waiting."""

READY_S: Final = 180.0
"""Wall seconds for all processes that Ray starts to answer: half a second each on a small machine, where the largest
plans have some 50; one that has not registered after 60 s (`worker_register_timeout_seconds`) Ray starts again."""

# Ray's types are incomplete.
_RAY: Final[Any] = ray


class RayHostCalls:
    """`HostCalls` over actor handles by host name."""

    def __init__(self, handles: Mapping[str, Any]) -> None:
        self._handles = dict(handles)

    async def call(self, host: str, method: str, arguments: Sequence[Any], deadline_s: float) -> Any:
        """The method's result; see `carrier.HostCalls`."""
        try:
            return await asyncio.wait_for(getattr(self._handles[host], method).remote(*arguments), deadline_s)
        except TimeoutError:
            raise
        except Exception as error:
            raise from_ray(host, error) from error

    def fence(self, host: str) -> None:
        """End the host's process; Ray starts another."""
        _RAY.kill(self._handles[host], no_restart=False)


def start_hosts(
    specs: Sequence[HostSpec], control_name: str, seating: Seating | None = None, **options: Any
) -> dict[str, Any]:
    """Start one actor per host, which takes its NPUs and no CPU, or its seat; returns their handles, not yet ready.

    Each looks up the control plane by its name: a handle among its arguments is one that Ray may have lost by the time
    at which it starts the host again, and warns of.

    Ray starts a dead one again, without end; what was under way at that time fails once and is never run twice.
    """
    actor = ray.remote(HostActor)
    return {
        spec.name: actor.options(
            **{
                "name": spec.name,
                "num_cpus": 0,
                "resources": {"NPU": spec.num_npus} if spec.num_npus and seating is None else {},
                "max_restarts": -1,
                "max_task_retries": 0,
                "enable_task_events": False,
                **({} if seating is None else seating.options(spec.name)),
                **options,
            }
        ).remote(spec, control_name)
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
        raise SilentError(f"{', '.join(silent[:3])} ({len(silent)} parts in all) not ready within {timeout_s:.0f} s")
    return results
