"""Work on a Ray cluster that is there already: join it, take places on its nodes, hold its clocks and program to ours.

Nothing here outlives the driver: its actors, placement groups and names end with it, even when it is killed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from importlib import import_module
from types import TracebackType
from typing import Any, Final, Self

import ray

from deploy.cluster.existing.bundles import bundle_text, bundles_of, why_no_resource, why_no_room
from deploy.cluster.existing.clock_offsets import Offset, Ping, offset_of, spread_of, why_too_far
from deploy.cluster.existing.program import SHIP_HINT, shipped, why_other_program
from deploy.cluster.existing.spec import ExistingSpec
from deploy.cluster.ray_connection import joined
from deploy.doctor.installation import DISTRIBUTION
from scheduler.protocol.errors import ClusterError
from scheduler.runtime.clock import NS_PER_S, monotonic_s, pause_s, wall_now_ns
from workers.ray_shell.failures import MissingProgramError
from workers.ray_shell.identity import Program, own_program
from workers.ray_shell.node_probe import ask_clock, end_probes, programs_of, start_probes
from workers.ray_shell.placement_groups import Seating, look_at, release, reserve

CLOCK: Final = "scheduler.runtime.clock:wall_now_ns"

PLACE_S: Final = 60.0
"""Wall seconds for all instances to have their places; a cluster with an autoscaler may start nodes meanwhile."""

NUM_PINGS: Final = 8
"""Of which the fastest counts; the first of a process is slow."""

_POLL_S: Final = 0.1

# Ray's types are incomplete.
_RAY: Final[Any] = ray
_STATE: Final[Any] = import_module("ray._private.state")


class Attachment:
    """A context manager: inside, this process is a driver of the cluster, and hosts of `num_npus` have their places.

    `ClusterError` in one line if the cluster cannot be reached, runs another Python, Ray or program of ours, has no
    room or clocks too far apart. `look` is called meanwhile and may raise, to give up.
    """

    def __init__(self, spec: ExistingSpec, num_npus: Mapping[str, int], look: Callable[[], None]) -> None:
        self._spec = spec
        self._num_npus = {host: npus for host, npus in num_npus.items() if npus}
        self._look = look
        self._stack = ExitStack()
        self.namespace: Final = f"supernode-{os.urandom(4).hex()}"
        """Of our actors' names: a second fleet on the same cluster has another."""
        self.seating = Seating({}, "")
        """Where the fleet's actors go."""
        self.note = ""
        """Where the instances are and how far clocks are apart, for a person."""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def address(self) -> str:
        """Where a driver on this machine connects to."""
        return self._spec.address if self._spec.is_client else _RAY.get_runtime_context().gcs_address

    def _start(self) -> None:
        with shipped(ships=self._spec.ships) as environment:
            self._stack.enter_context(joined(self._spec.address, namespace=self.namespace, runtime_env=environment))
        home = str(_RAY.get_runtime_context().get_node_id())
        totals = _offered(self._spec.resource)
        if not totals:
            raise ClusterError(why_no_resource(self._spec.address, self._spec))
        bundles = {host: bundles_of(npus, self._spec) for host, npus in self._num_npus.items()}
        hosts = {host: (its, bundle_text(its[0])) for host, its in bundles.items()}
        seats = reserve(hosts, self._spec.placement)
        self._stack.callback(release, seats)
        self.seating = Seating(seats, home)
        nodes = self._wait_placed()
        apart_ns = self._check_nodes(sorted({home, *nodes}), home)
        self.note = (
            f"{_many(len(seats), 'instance')} on {_many(len(nodes), 'node')} of the cluster at {self.address} "
            f"(placement {self._spec.placement}); clocks at most {apart_ns / 1e6:.1f} ms apart"
        )

    def _wait_placed(self) -> set[str]:
        """Return, when every bundle has one, the nodes of all; `ClusterError` that says who waits for what."""
        groups = {host: seat.group.id.hex() for host, seat in self.seating.seats.items()}
        deadline_s = monotonic_s() + PLACE_S
        waiting = dict(groups)
        nodes: set[str] = set()
        while True:
            looks = look_at(waiting)
            for host, group in list(waiting.items()):
                look = looks.get(group)
                if look is not None and look.is_whole:
                    nodes |= set(look.nodes)
                    del waiting[host]
            if not waiting:
                return nodes
            if monotonic_s() > deadline_s:
                asked = {host: bundles_of(self._num_npus[host], self._spec) for host in waiting}
                resource = self._spec.resource
                raise ClusterError(why_no_room(asked, _offered(resource), _free(resource), self._spec))
            self._look()
            pause_s(_POLL_S)

    def _check_nodes(self, nodes: Sequence[str], home: str) -> int:
        """Hold their programs and clocks to ours; returns by how many nanoseconds a clock may be off that of `home`."""
        names = _node_names()
        probes = start_probes(nodes, CLOCK, DISTRIBUTION)
        try:
            programs = self._programs(probes, names)
            expected = own_program(DISTRIBUTION)
            if line := why_other_program(
                {names[node]: one for node, one in programs.items()}, expected, ships=self._spec.ships
            ):
                raise ClusterError(line)
            offsets = {names[node]: measure(lambda probe=probe: ask_clock(probe)) for node, probe in probes.items()}
        finally:
            with suppress(Exception):  # one that never came up cannot be ended
                end_probes(probes)
        if line := why_too_far(offsets, names[home], round(self._spec.max_skew_s * NS_PER_S)):
            raise ClusterError(line)
        furthest = spread_of(offsets, names[home])
        return abs(furthest.ahead_ns) + furthest.error_ns

    def _programs(self, probes: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Program]:
        try:
            return programs_of(probes, names, self._look)
        except MissingProgramError as error:
            raise ClusterError(
                f"a node of the cluster at {self.address} does not have this program, or one of the same name comes "
                f"before it; {SHIP_HINT}"
            ) from error


def measure(ask: Callable[[], int]) -> Offset:
    """How far a clock is ahead of that of this process, which `ask` tells."""
    pings: list[Ping] = []
    for _ in range(NUM_PINGS):
        sent_ns = wall_now_ns()
        there_ns = ask()
        pings.append(Ping(sent_ns, there_ns, wall_now_ns()))
    return offset_of(pings)


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count > 1 else ''}"


def _offered(resource: str) -> dict[str, float]:
    """How much of a resource the nodes that are alive have, by name of the node."""
    names = _node_names()
    return {
        names[node["NodeID"]]: node["Resources"][resource]
        for node in _RAY.nodes()
        if node["Alive"] and node["Resources"].get(resource)
    }


def _free(resource: str) -> dict[str, float]:
    """The same, of what nobody has taken; nothing for a client of Ray, which is not told."""
    with suppress(Exception):
        names = _node_names()
        return {
            names[node]: its.get(resource, 0.0)
            for node, its in _STATE.available_resources_per_node().items()
            if node in names
        }
    return {}


def _node_names() -> dict[str, str]:
    """Address and the beginning of the id, by id: on one machine several nodes have one address."""
    return {node["NodeID"]: f"{node['NodeManagerAddress']} ({node['NodeID'][:8]})" for node in _RAY.nodes()}
