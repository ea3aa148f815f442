"""The actors of a cluster: the control plane and one host for each of its workers' processes."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any, Final

import ray
from msgspec import Struct

from deploy.live.control_plane import ACTOR_NAME, ControlPlane
from deploy.live.fleet_spec import FleetSpec
from scheduler.protocol.errors import ClusterError, SilentError, WorkerLostError
from scheduler.runtime.clock import monotonic_s, pause_s
from workers.ray_shell.carrier import SILENT_S
from workers.ray_shell.host import HostSpec
from workers.ray_shell.identity import identity
from workers.ray_shell.placement_groups import Seating
from workers.ray_shell.transport import READY_S, call_all, start_hosts, wait_ready

CLOCK: Final = "scheduler.runtime.clock:LiveClock.at_wall_zero"

CALL_S: Final = 30.0
"""Wall seconds for a short call to the control plane."""

END_REPLAY_S: Final = 20.0
"""Wall seconds for a replay to end early and for its driver to take what it has."""

GONE_S: Final = 10.0
"""Wall seconds for Ray to forget the names of actors that were ended."""

_POLL_S: Final = 0.02
_LOOK_S: Final = 0.2

# Ray's types are incomplete.
_RAY: Final[Any] = ray


class HostPlan(Struct, frozen=True):
    """One actor: its name, the components on it, and the emulated NPUs it takes."""

    name: str
    addresses: tuple[str, ...]
    num_npus: int


class Actors:
    """Started on the Ray cluster that this process is connected to, and ended by `close`.

    `make_worker` names a function `(spec, address) -> Component` as `module:name`. With `seating` each goes where that
    says.
    """

    def __init__(self, hosts: Sequence[HostPlan], make_worker: str, seating: Seating | None = None) -> None:
        if len({host.name for host in hosts}) < len(hosts):
            raise ClusterError("two hosts of a live run have one name")
        self._hosts = hosts
        self._make_worker = make_worker
        self._seating = seating
        self._handles: dict[str, Any] = {}
        self.control: Any = None

    def start(self, fleet: FleetSpec, look: Callable[[], None] = lambda: None) -> dict[str, str]:
        """Start all, wait for all, give the control plane its fleet; returns the addresses it serves.

        `look` is called now and then, and may raise, to give up.
        """
        look()
        options: dict[str, Any] = {"name": ACTOR_NAME, "num_cpus": 0, "max_restarts": -1, "max_task_retries": 0}
        options["enable_task_events"] = False  # a row in Ray's own books for every call of a run
        if self._seating is not None:
            options |= self._seating.options(ACTOR_NAME)
        self.control = _RAY.remote(ControlPlane).options(**options).remote()
        specs = [HostSpec(h.name, h.addresses, h.num_npus, self._make_worker, CLOCK) for h in self._hosts]
        self._handles = start_hosts(specs, ACTOR_NAME, self._seating)
        wait_ready({ACTOR_NAME: self.control, **self._handles}, identity(), READY_S, look)
        return self.adopt(fleet)

    def adopt(self, fleet: FleetSpec) -> dict[str, str]:
        """Give a control plane that knows nothing its fleet."""
        call = self.control.adopt.remote(pickle.dumps(fleet), self._handles)
        return call_all({ACTOR_NAME: call}, CALL_S)[ACTOR_NAME]

    def repair(self, fleet: FleetSpec, look: Callable[[], None] = lambda: None) -> str:
        """See that the control plane answers and has its fleet: one that Ray started anew knows nothing.

        One that is silent is ended, and Ray starts another. Returns a line for a person if something was wrong.
        """
        try:
            health = call_all({ACTOR_NAME: self.control.health.remote()}, SILENT_S, look)[ACTOR_NAME]
            if not health["is_adopted"]:
                self.adopt(fleet)
            return str(health["http_trouble"])
        except WorkerLostError:
            return "the process of the control plane ended, and is started again"
        except SilentError:
            _RAY.kill(self.control, no_restart=False)
            return f"the control plane was silent for {SILENT_S:.0f} s; it was ended, and is started again"

    def finish_serving(self, limit_s: float, is_hurried: Callable[[], bool]) -> None:
        """Take no new request of HTTP clients, let those who wait have the rest of their answers, and tell the others
        that it is over: at the latest after so many wall seconds, and at once when somebody is in a hurry."""
        deadline_s = monotonic_s() + limit_s
        try:
            while self._stop_serving(at_once=False) and not is_hurried() and monotonic_s() < deadline_s:
                pause_s(_LOOK_S)
            self._stop_serving(at_once=True)
        except ClusterError:
            return  # it cannot be asked any more

    def _stop_serving(self, *, at_once: bool) -> int:
        if self.control is None:
            return 0
        return call_all({ACTOR_NAME: self.control.stop_serving.remote(at_once=at_once)}, SILENT_S)[ACTOR_NAME]

    def end_replay(self) -> None:
        """Have a replay that runs end with what it has, and wait until its driver has taken that, for a while."""
        deadline_s = monotonic_s() + END_REPLAY_S
        try:
            if self.control is None or not self._is_awaited():
                return
            call_all({ACTOR_NAME: self.control.call.remote("stop", {})}, SILENT_S)
            while self._is_awaited() and monotonic_s() < deadline_s:
                pause_s(_POLL_S)
        except ClusterError:
            return  # it cannot be asked any more

    def _is_awaited(self) -> bool:
        return bool(call_all({ACTOR_NAME: self.control.health.remote()}, SILENT_S)[ACTOR_NAME]["is_awaited"])

    def abandon(self) -> None:
        """Their node is gone, and nobody can end them in order any more."""
        self.control, self._handles = None, {}

    def close(self) -> None:
        """End the actors, so that the next on this cluster find their NPUs and names free."""
        if not _RAY.is_initialized() or self.control is None:
            return
        actors = {ACTOR_NAME: self.control, **self._handles}
        for actor in actors.values():
            if actor is not None:
                _RAY.kill(actor)
        deadline_s = monotonic_s() + GONE_S
        while any(map(_is_known, actors)) and monotonic_s() < deadline_s:
            pause_s(_POLL_S)


def _is_known(name: str) -> bool:
    try:
        _RAY.get_actor(name)
    except ValueError:
        return False
    return True
