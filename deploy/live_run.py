"""A live run from end to end: cluster, actors, barrier, clock zero, progress, result, and nothing left behind."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import ray

from deploy.control_plane import ACTOR_NAME, ControlPlane, ControlSpec, LiveOutcome
from deploy.interrupt import stop_on_interrupt
from deploy.local_cluster import LocalCluster
from scheduler.protocol.errors import ClusterError
from scheduler.runtime.clock import NS_PER_S, monotonic_s, pause_s, wall_now_ns
from scheduler.runtime.journal import JournalHeader
from workers.ray_shell.host import HostSpec
from workers.ray_shell.identity import identity
from workers.ray_shell.transport import call_all, start_hosts, wait_ready

CLOCK: Final = "scheduler.runtime.clock:LiveClock.at_wall_zero"

REPORT_INTERVAL_S: Final = 0.020
"""Wall seconds that a run of decode steps may go unreported."""

READY_S: Final = 180.0
"""Wall seconds for all actors to come up: half a second each on a small machine, and the largest plans have some 50."""

CALL_S: Final = 30.0
"""Wall seconds for a short call to the control plane."""

END_S: Final = 600.0
"""Wall seconds from the stop of a run to its result; each silent host costs 15."""

ZERO_DELAY_S: Final = 0.5
"""Wall seconds from the barrier to clock zero: time for all to hear of it, and to greet each other."""

PROGRESS_S: Final = 0.5
"""Wall seconds between two looks at the run."""

GONE_S: Final = 10.0
"""Wall seconds for Ray to forget the names of actors that were ended."""

_POLL_S: Final = 0.02

# Ray's types are incomplete.
_RAY: Final[Any] = ray

Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class HostPlan:
    """One actor: its name, the components on it, and the emulated NPUs it takes."""

    name: str
    addresses: tuple[str, ...]
    num_npus: int


@dataclass(frozen=True, slots=True)
class LiveSpec:
    """A live run as plain data.

    `spec` is what the two factories are given, each named as `module:name`: `make_worker`,
    `(spec, address) -> Component`, whose spec has `report_interval_ns` besides, and `make_control`,
    `(spec) -> ControlParts`.
    """

    hosts: list[HostPlan]
    spec: dict[str, Any]
    make_worker: str
    make_control: str
    journal_path: str = ""
    journal_header: JournalHeader = field(default_factory=JournalHeader)

    @property
    def num_npus(self) -> int:
        """Emulated NPUs of all hosts."""
        return sum(host.num_npus for host in self.hosts)


@dataclass(slots=True)
class LiveResult:
    """What a run left, and what it took on the wall: `startup_s` until clock zero, `run_s` from there to the result."""

    outcome: Final[LiveOutcome]
    startup_s: Final[float]
    run_s: Final[float]


def run_live(spec: LiveSpec, *, speed: float, on_progress: Progress | None = None) -> LiveResult:
    """Run on the Ray cluster that this process is connected to, or else on a private local one.

    Ctrl-C ends the run early with an outcome whose `end.interrupted` is true; a second one leaves at once.
    `ClusterError` if the cluster, an actor or a call fails; whatever of ours core or workers raise otherwise.
    """
    began_s = monotonic_s()
    with ExitStack() as stack:
        run = _Run(spec, speed)
        # A signal within Ray's own calls could leave it half done, so it is looked for between them.
        stack.enter_context(stop_on_interrupt(run.stop))
        if not _RAY.is_initialized():
            stack.enter_context(LocalCluster(spec.num_npus))
        stack.callback(run.close)
        zero_wall_ns = run.begin()
        startup_s = monotonic_s() - began_s
        outcome = run.wait(on_progress or _no_progress)
        run_s = (wall_now_ns() - zero_wall_ns) / NS_PER_S
        return LiveResult(outcome, startup_s, run_s)


class _Run:
    """The actors of one run, from their start to their end."""

    def __init__(self, spec: LiveSpec, speed: float) -> None:
        self._spec = spec
        self._speed = speed
        self._control: Any = None
        self._hosts: dict[str, Any] = {}
        self._is_stopped = False

    def begin(self) -> int:
        """Start all actors, wait for all, agree on clock zero; answers it as wall-clock nanoseconds."""
        self._look()
        expected = identity()
        self._control = _RAY.remote(ControlPlane).options(name=ACTOR_NAME, num_cpus=0, max_restarts=0).remote(expected)
        self._hosts = start_hosts(self._host_specs(), expected, self._control)
        wait_ready({ACTOR_NAME: self._control, **self._hosts}, READY_S, self._look)
        control = pickle.dumps(self._control_spec())
        call_all({ACTOR_NAME: self._control.start.remote(control, self._hosts)}, READY_S, self._look)
        zero_wall_ns = wall_now_ns() + int(ZERO_DELAY_S * NS_PER_S)
        call_all({name: host.begin.remote(zero_wall_ns, self._speed) for name, host in self._hosts.items()}, CALL_S)
        call_all({ACTOR_NAME: self._control.begin.remote(zero_wall_ns, self._speed)}, CALL_S)
        return zero_wall_ns

    def wait(self, on_progress: Progress) -> LiveOutcome:
        """Show progress until the run has ended or Ctrl-C ends it."""
        result = self._control.result.remote()
        while not self._is_stopped and not _RAY.wait([result], timeout=PROGRESS_S)[0]:
            on_progress(call_all({ACTOR_NAME: self._control.progress.remote()}, CALL_S)[ACTOR_NAME])
        if self._is_stopped:
            self._control.stop.remote()
        outcome: LiveOutcome = pickle.loads(call_all({ACTOR_NAME: result}, END_S)[ACTOR_NAME])
        return outcome

    def stop(self) -> None:
        """Ask the run to end; safe to call from a signal handler, since it asks nothing of Ray."""
        self._is_stopped = True

    def _look(self) -> None:
        if self._is_stopped:
            raise KeyboardInterrupt

    def close(self) -> None:
        """End the actors, so that the next run on this cluster finds their NPUs and names free."""
        if not _RAY.is_initialized():
            return
        actors = {ACTOR_NAME: self._control, **self._hosts}
        for actor in actors.values():
            if actor is not None:
                _RAY.kill(actor)
        deadline_s = monotonic_s() + GONE_S
        while any(map(_is_known, actors)) and monotonic_s() < deadline_s:
            pause_s(_POLL_S)

    def _host_specs(self) -> list[HostSpec]:
        spec = self._spec
        worker_spec = {**spec.spec, "report_interval_ns": int(REPORT_INTERVAL_S * NS_PER_S * self._speed)}
        names = {host.name for host in spec.hosts}
        if len(names) < len(spec.hosts):
            raise ClusterError("two hosts of a live run have one name")
        return [
            HostSpec(host.name, host.addresses, host.num_npus, spec.make_worker, CLOCK, worker_spec)
            for host in spec.hosts
        ]

    def _control_spec(self) -> ControlSpec:
        spec = self._spec
        hosts = {host.name: host.addresses for host in spec.hosts}
        journal_path = str(Path(spec.journal_path).resolve()) if spec.journal_path else ""
        return ControlSpec(spec.make_control, spec.spec, hosts, journal_path, spec.journal_header)


def _is_known(name: str) -> bool:
    try:
        _RAY.get_actor(name)
    except ValueError:
        return False
    return True


def _no_progress(_: dict[str, Any]) -> None:
    """Nobody looks."""
