"""A live run from end to end, on a standing cluster or on a private one that is gone after it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

import ray
from msgspec import Struct
from msgspec.structs import replace

from deploy.cluster.existing.attachment import Attachment
from deploy.cluster.existing.spec import ExistingSpec
from deploy.cluster.local.local_cluster import LocalCluster
from deploy.live.actors import CALL_S, Actors, HostPlan
from deploy.live.control_plane import ACTOR_NAME
from deploy.live.fleet_spec import FleetSpec, LiveOutcome
from deploy.live.session import RunSpec
from deploy.terminal.interrupt import stop_on_interrupt
from scheduler.protocol.errors import ClusterError, WorkerLostError
from scheduler.runtime.clock import monotonic_s
from workers.ray_shell.transport import call_all

END_S: Final = 600.0
"""Wall seconds from the stop of a run to its result; each silent host costs 15."""

PROGRESS_S: Final = 0.5
"""Wall seconds between two looks at the run."""

# Ray's types are incomplete.
_RAY: Final[Any] = ray

Progress = Callable[[dict[str, Any]], None]


class LiveResult(Struct, frozen=True):
    """What a run left, and what it took on the wall: `startup_s` until clock zero, `run_s` from there to the result."""

    outcome: LiveOutcome
    startup_s: float
    run_s: float
    note: str = ""
    """Where in an existing Ray cluster it ran, for a person."""


def run_live(
    hosts: list[HostPlan],
    make_worker: str,
    metered: list[str],
    run: RunSpec,
    on_progress: Progress | None = None,
    existing: ExistingSpec | None = None,
) -> LiveResult:
    """Run on actors of its own: on the `existing` Ray cluster if one is named, else on the one that this process is
    connected to, or else on a private local one.

    Ctrl-C ends the run early with an outcome whose `end.interrupted` is true; a second one leaves at once.
    `ClusterError` if the cluster, an actor or a call fails; whatever of ours core or workers raise otherwise.
    """
    began_s = monotonic_s()
    with ExitStack() as stack:
        driver = Driver(run, on_progress)
        # A signal within Ray's own calls could leave it half done, so it is looked for between them.
        stack.enter_context(stop_on_interrupt(driver.stop))
        attachment = None
        if existing is not None:
            npus = {host.name: host.num_npus for host in hosts}
            attachment = stack.enter_context(Attachment(existing, npus, driver.look))
        elif not _RAY.is_initialized():
            stack.enter_context(LocalCluster(sum(host.num_npus for host in hosts)))
        seating = None if attachment is None else attachment.seating
        actors = Actors(hosts, make_worker, seating)
        stack.callback(actors.close)
        placed = {} if seating is None else seating.placed()
        actors.start(FleetSpec({host.name: host.addresses for host in hosts}, metered, placed=placed), driver.look)
        result = driver.drive(actors.control, began_s)
        return result if attachment is None else replace(result, note=attachment.note)


class Driver:
    """Has a control plane run something, shows how far it is, and takes the result."""

    def __init__(self, run: RunSpec, on_progress: Progress | None = None) -> None:
        self._run = run
        self._on_progress = on_progress or _no_progress
        self._is_stopped = False

    def drive(self, control: Any, began_s: float) -> LiveResult:
        """Run to the end; `began_s` is the monotonic time since which the user waits."""
        try:
            return self._drive(control, began_s)
        except WorkerLostError as error:
            raise ClusterError(
                "the process of the control plane was lost, and the replay with it; replay again in a few seconds, "
                "when a standing cluster has another"
            ) from error

    def _drive(self, control: Any, began_s: float) -> LiveResult:
        self.look()
        result = control.replay.remote(pickle.dumps(self._run))
        while not self._is_stopped and not _RAY.wait([result], timeout=PROGRESS_S)[0]:
            self._on_progress(call_all({ACTOR_NAME: control.progress.remote()}, CALL_S)[ACTOR_NAME])
        if self._is_stopped:
            control.stop.remote()
        outcome: LiveOutcome = pickle.loads(call_all({ACTOR_NAME: result}, END_S)[ACTOR_NAME])
        call_all({ACTOR_NAME: control.taken.remote()}, CALL_S)
        return LiveResult(outcome, monotonic_s() - began_s - outcome.run_s, outcome.run_s)

    def stop(self) -> None:
        """Ask the run to end; safe to call from a signal handler, since it asks nothing of Ray."""
        self._is_stopped = True

    def look(self) -> None:
        """Raise KeyboardInterrupt if the run was asked to end before it began."""
        if self._is_stopped:
            raise KeyboardInterrupt


def _no_progress(_: dict[str, Any]) -> None:
    """Nobody looks."""
