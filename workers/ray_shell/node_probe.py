"""An actor that stays on a node for a moment: what time is it there, and is our program there the same?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import ray

from workers.ray_shell.host import named
from workers.ray_shell.identity import Program, own_program
from workers.ray_shell.placement_groups import on_node
from workers.ray_shell.transport import READY_S, call_all

# Ray's types are incomplete.
_RAY: Final[Any] = ray


class NodeProbe:
    """Made a Ray actor by `start_probes`. `clock` names a function that returns wall nanoseconds, as `module:name`."""

    def __init__(self, clock: str, distribution: str) -> None:
        self._clock: Callable[[], int] = named(clock)
        self._program = own_program(distribution)

    def program(self) -> Program:
        """What the processes of this node run."""
        return self._program

    def wall_ns(self) -> int:
        """The clock of this node."""
        return self._clock()


def start_probes(nodes: Sequence[str], clock: str, distribution: str) -> dict[str, Any]:
    """One on each of these nodes; returns their handles, not yet ready."""
    actor = ray.remote(NodeProbe)
    options: dict[str, Any] = {"num_cpus": 0, "enable_task_events": False}
    return {
        node: actor.options(scheduling_strategy=on_node(node), **options).remote(clock, distribution) for node in nodes
    }


def programs_of(probes: Mapping[str, Any], names: Mapping[str, str], look: Callable[[], None]) -> dict[str, Program]:
    """What each node runs, by node; `ClusterError` if one does not say, with the name of the node."""
    calls = {f"node {names[node]}": probe.program.remote() for node, probe in probes.items()}
    told = call_all(calls, READY_S, look)
    return {node: told[f"node {names[node]}"] for node in probes}


def ask_clock(probe: Any) -> int:
    """The wall clock of a probe's node."""
    return int(ray.get(probe.wall_ns.remote()))


def end_probes(probes: Mapping[str, Any]) -> None:
    """Their processes go away."""
    for probe in probes.values():
        _RAY.kill(probe)
