"""The Ray actor in which the control plane lives: it runs one session at a time on the hosts that it was given."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from deploy.admin.operations import known_names
from deploy.admin.service import AdminService
from deploy.http.service import HttpService
from deploy.live.control_calls import COMMANDS
from deploy.live.fleet_spec import FleetSpec, LiveOutcome
from deploy.live.session import RunSpec, Session
from deploy.live.telemetry import Telemetry
from deploy.run.garbage_collection import settle, sweep
from scheduler.metrics.subject import RunOutcome
from scheduler.protocol.errors import ClusterError, ConfigError, WorkerLostError
from scheduler.protocol.fabric_parts import in_order
from scheduler.protocol.messages import DrainInstances, FailParts, Message, RepairParts, ScaleInstances
from scheduler.runtime.clock import monotonic_s, wall_now_ns
from scheduler.runtime.live import LiveEnd
from workers.ray_shell.carrier import HostCarrier
from workers.ray_shell.failures import portable
from workers.ray_shell.host import named
from workers.ray_shell.identity import Identity, find_stranger, identity
from workers.ray_shell.placement_groups import WatchedPlaces
from workers.ray_shell.transport import RayHostCalls

ACTOR_NAME: Final = "control-plane"
"""The actor's name in the Ray namespace of the cluster."""

LEASE_S: Final = 30.0
"""Wall seconds after which a run whose driver has not asked for progress is stopped: the driver is gone."""

STALL_S: Final = 60.0
"""Wall seconds that a run on a standing cluster waits for an operator's repair when nothing reaches its requests."""

TAKE_S: Final = 10.0
"""Wall seconds that a driver has to take its result: what ends the cluster waits for that."""

BEGIN_S: Final = 5.0
"""Wall seconds that `adopt` waits for the idle run to begin; after that the status tells what keeps it."""

IDLE_AGAIN_S: Final = 3.0
"""Wall seconds from the failure of an idle run, such as by a host that does not come back, to the next try."""

TICK_S: Final = 1.0
"""Wall seconds between two snapshots for the metrics."""


class ControlPlane:
    """Made a Ray actor by `actors`; its calls in order: `ready`, `adopt`, then `replay`, with `progress` and `stop`.

    A process that takes the place of a dead one knows nothing: `health` tells so, and its owner says `adopt` again.
    """

    def __init__(self) -> None:
        self._identity = identity()
        self._fleet: FleetSpec | None = None
        self._handles: dict[str, Any] = {}
        self._telemetry: Telemetry | None = None
        self._http: HttpService | None = None
        # Hosts that outlive this process may still speak as of a session of the one before it.
        self._born_ns = wall_now_ns()
        self._num_sessions = 0
        self._session: Session | None = None
        self._idle: asyncio.Task[None] | None = None
        self._has_begun = asyncio.Event()
        self._idle_error = ""
        self._failed_s = 0.0
        self._is_replaying = False
        self._is_told_to_stop = False
        self._is_stopped_by_operator = False
        self._is_untaken = False
        self._asked_s = 0.0
        self._ticking: asyncio.Task[None] | None = None
        self._places: WatchedPlaces | None = None
        self._watching: asyncio.Task[None] | None = None
        # Every session has a fabric of its own, and what an operator broke stays broken until it is repaired.
        self._broken_parts: set[str] = set()
        # Likewise, whom an operator sent away stays away, and what counts there are to be holds.
        self._sent_away: dict[str, None] = {}
        self._counts: dict[str, int] = {}

    async def ready(self, expected: Identity) -> str:
        """Empty if all is well, else the line that says why not."""
        return find_stranger(self._identity, expected)

    async def adopt(self, fleet: bytes, handles: Mapping[str, Any]) -> dict[str, str]:
        """Take a pickled `FleetSpec` and the hosts' actor handles; returns the addresses that this process serves."""
        spec: FleetSpec = pickle.loads(fleet)
        try:
            addresses = await self._serve(spec)
        except Exception as error:
            raise portable(error) from error
        self._fleet, self._handles = spec, dict(handles)
        if spec.placed:
            self._places = WatchedPlaces(spec.placed, RayHostCalls(self._handles).fence)
            self._watching = asyncio.create_task(self._places.watch())
        self._ticking = asyncio.create_task(self._tick())
        self._start_idle()
        if self._idle is not None:  # who reads that the cluster is up may send requests at once
            begun = asyncio.create_task(self._has_begun.wait())
            await asyncio.wait([self._idle, begun], timeout=BEGIN_S, return_when=asyncio.FIRST_COMPLETED)
            begun.cancel()
        settle()
        return addresses

    async def _serve(self, spec: FleetSpec) -> dict[str, str]:
        if spec.telemetry is None:
            return {}
        telemetry = self._telemetry = Telemetry(spec.telemetry)
        addresses = {"metrics": telemetry.address}
        if spec.http is not None:
            self._http = HttpService(spec.http, self._why_not_serving, telemetry.page)
            addresses["http"] = await self._http.start()
        if spec.admin is not None:
            addresses["admin"] = await AdminService(spec.admin, COMMANDS, self._call_checked).start()
        return addresses

    def _why_not_serving(self) -> tuple[str, float]:
        """For clients: why no session takes their requests, and in how many seconds to ask again."""
        status = self.status()
        if status["phase"] == "replaying":
            return f"a replay runs on this cluster ({status['run']}); requests are taken again when it has ended", 5.0
        if status["phase"] == "broken":
            return "the cluster is broken; 'supernode status' tells why", 5.0
        return "the cluster is about to take requests", 1.0

    async def health(self) -> dict[str, Any]:
        """Whether it has adopted a fleet, what keeps it from running one, if anything does, and whether somebody waits
        for a replay's result."""
        is_awaited = self._is_replaying or (self._is_untaken and monotonic_s() - self._asked_s < TAKE_S)
        trouble = "" if self._http is None else self._http.trouble
        return {
            "is_adopted": self._fleet is not None,
            "error": self._idle_error,
            "is_awaited": is_awaited,
            "http_trouble": trouble,
        }

    async def replay(self, run: bytes) -> bytes:
        """Run a pickled `RunSpec` to its end; answers a pickled `LiveOutcome`. Raises what ended the run instead."""
        if self._fleet is None:
            raise ClusterError("the control plane was started anew and has no hosts yet; try again in a few seconds")
        if self._is_replaying:
            title = self._session.run_spec.title if self._session else ""
            raise ClusterError(f"another replay runs on this cluster ({title}); wait for its end, or 'supernode down'")
        self._is_replaying, self._is_told_to_stop, self._asked_s = True, False, monotonic_s()
        self._is_stopped_by_operator = self._is_untaken = False
        try:
            await self._end_idle()
            spec: RunSpec = pickle.loads(run)
            if spec.before is not None:
                spec = await self._run_before(self._fleet, spec, spec.before)
            session = self._make_session(self._fleet, spec)
            if self._is_told_to_stop:  # while the idle session ended
                session.stop()
            end = await self._run(session, is_replay=True)
            if self._is_stopped_by_operator:
                end.warnings.append("the replay was ended early: an operator stopped it, or took the cluster down")
            outcome = pickle.dumps(LiveOutcome(end, session.parts.keep(), session.run_s))
            self._is_untaken, self._asked_s = True, monotonic_s()
            return outcome
        except WorkerLostError as error:  # a host's, not that of this process, as it would seem to the driver
            raise ClusterError(str(error)) from error
        except Exception as error:
            raise portable(error) from error
        finally:
            self._is_replaying = False
            self._publish()  # who has the result and asks for the status must not read of a replay that goes on
            self._start_idle()

    async def progress(self) -> dict[str, Any]:
        """How far the replay is. Its driver asks at least every `LEASE_S`, or is taken for dead."""
        self._asked_s = monotonic_s()
        return self._session.progress() if self._session is not None and self._is_replaying else {}

    async def taken(self) -> None:
        """The driver has the replay's result."""
        self._is_untaken = False

    async def stop(self, *, by_operator: bool = False) -> None:
        """End the replay at once."""
        self._is_stopped_by_operator = self._is_stopped_by_operator or by_operator
        if self._is_replaying and self._session is not None:
            self._is_told_to_stop = True
            self._session.stop()

    async def stop_serving(self, *, at_once: bool) -> int:
        """Take no new request of clients; returns how many still wait for an answer. `at_once` ends those, too."""
        if self._http is None:
            return 0
        num_waiting = self._http.stop_taking()
        if at_once:
            await self._http.close()
        return num_waiting

    async def meet(self) -> None:
        """A host's first call, so that it is connected before it has something to say."""

    async def deliver(self, data: bytes) -> None:
        """Take an envelope from a host. Nothing is awaited, so calls stay in order."""
        if self._session is not None:
            self._session.deliver(data)

    async def call(self, command: str, arguments: Mapping[str, Any]) -> Any:
        """An operation on the cluster by its name, as `supernode` commands ask for it; plain data in and out."""
        if command not in COMMANDS:
            raise ConfigError(f"no such control command: {command}; known: {', '.join(sorted(COMMANDS))}")
        try:
            return await COMMANDS[command](self, **arguments)
        except Exception as error:
            raise portable(error) from error

    async def _call_checked(self, command: str, arguments: Mapping[str, Any]) -> Any:
        """The same for who has not held names against the cluster; that may take a moment, which tokens do not wait."""
        assert self._fleet is not None
        if self._fleet.idle is not None:
            arguments = await asyncio.to_thread(known_names, self._fleet.idle.spec["config"], arguments)
        return await self.call(command, arguments)

    def status(self) -> dict[str, Any]:
        """What goes on, for people and programs."""
        session = self._session
        title = session.run_spec.title if session is not None and self._is_replaying else ""
        phase = "replaying" if self._is_replaying else "broken" if self._idle_error else "idle"
        progress = session.progress() if session is not None else {}
        return {"phase": phase, "run": title, "error": self._idle_error, "progress": progress}

    def fail_parts(self, parts: Sequence[str]) -> list[str]:
        """Break parts of the fabric, in this session and in those after it; returns all that are broken."""
        self._broken_parts.update(parts)
        self._tell(FailParts(list(parts)))
        return self._all_broken()

    def repair_parts(self, parts: Sequence[str] | None) -> list[str]:
        """Repair parts of the fabric, all if None, whoever broke them; returns those that stay broken."""
        repaired = self._all_broken() if parts is None else list(parts)
        self._broken_parts.difference_update(repaired)
        faults = None if self._session is None else self._session.faults
        if faults is not None:
            faults.forget(repaired)
        self._tell(RepairParts(repaired))
        return self._all_broken()

    def drain_instances(self, addresses: Sequence[str]) -> dict[str, str]:
        """Have these leave, in this session and in those after it; returns where all instances are now."""
        self._sent_away |= dict.fromkeys(addresses)
        self._tell(DrainInstances(list(addresses)))
        return self.instances()

    def scale_instances(self, counts: Mapping[str, int]) -> dict[str, str]:
        """Have so many instances of each role, in this session and in those after it; those that were sent away may
        come back for it. Returns where all instances are now."""
        self._counts |= counts
        self._sent_away.clear()
        self._tell(ScaleInstances(list(counts), list(counts.values())))
        return self.instances()

    def instances(self) -> dict[str, str]:
        """Where all instances of this session are: the phase of each, by address."""
        core = None if self._session is None else self._session.parts.scheduler
        return {} if core is None else core.instance_phases()

    def _all_broken(self) -> list[str]:
        """By whom it was ordered, not as the fabric has told: that hears of it later, and answers later still."""
        faults = None if self._session is None else self._session.faults
        return in_order(self._broken_parts if faults is None else self._broken_parts | faults.broken)

    def _tell(self, message: Message) -> None:
        if self._session is not None:
            self._session.tell(message)

    def _make_session(self, fleet: FleetSpec, run: RunSpec) -> Session:
        self._num_sessions += 1
        parts = named(run.make_control)(run.spec)
        calls = RayHostCalls(self._handles)
        transport = HostCarrier(calls, fleet.hosts, run.worker_spec, self._identity, self._places, run.lead_ns)
        name = f"{self._born_ns}-{self._num_sessions}"
        # A private cluster has no operator, and one of a single node has no other that may have room.
        return Session(name, run, parts, transport, fleet.metered, STALL_S if fleet.idle or fleet.placed else 0.0)

    async def _run_before(self, fleet: FleetSpec, spec: RunSpec, before: RunSpec) -> RunSpec:
        """A run that is no part of the replay and in no metric; what it keeps is for the replay."""
        session = self._make_session(fleet, before)
        self._session = session
        await session.begin()
        if self._is_told_to_stop:
            session.stop()
        await session.run()
        return replace(spec, spec={**spec.spec, "profile": session.parts.keep()}, before=None)

    async def _run(self, session: Session, *, is_replay: bool) -> LiveEnd:
        self._session = session
        sweep()  # the one before, while no clock runs
        try:
            await session.begin()
        except Exception:
            self._end_served(goes_on=False)  # whoever waited for this session has waited long enough
            raise
        if session.faults is not None:
            session.faults.kept_broken = self._broken_parts
        if self._broken_parts:
            session.tell(FailParts(sorted(self._broken_parts)))
        if self._counts:
            session.tell(ScaleInstances(list(self._counts), list(self._counts.values())))
        if self._sent_away:
            session.tell(DrainInstances(list(self._sent_away)))
        if self._telemetry is None:
            return await session.run()
        self._telemetry.begin(session, is_replay=is_replay)
        opening = asyncio.create_task(self._open(session))
        if not is_replay:
            self._idle_error = ""
        outcome: RunOutcome = "failed"
        try:
            end = await session.run()
            outcome = "interrupted" if end.interrupted else "completed"
        finally:
            opening.cancel()
            # Nobody's doing: what was accepted arrives anew when the idle run is tried again.
            self._end_served(goes_on=outcome == "failed" and not is_replay)
            self._telemetry.end(outcome)
        return end

    async def _open(self, session: Session) -> None:
        """Take requests from clock zero on: one before that would wait for it, and its client with it."""
        if self._http is not None:
            await session.zero()
            self._http.begin(session)
        self._has_begun.set()

    def _end_served(self, *, goes_on: bool) -> None:
        if self._http is not None:
            self._http.end(goes_on=goes_on)

    def _start_idle(self) -> None:
        if self._fleet is not None and self._fleet.idle is not None:
            self._idle = asyncio.create_task(self._run_idle(self._fleet, self._fleet.idle))

    async def _run_idle(self, fleet: FleetSpec, idle: RunSpec) -> None:
        try:
            await self._run(self._make_session(fleet, idle), is_replay=False)
        except Exception as error:  # noqa: BLE001 - told by `health` and `status`; tried again by `_tick` or a replay
            self._idle_error, self._failed_s = str(portable(error)), monotonic_s()

    async def _end_idle(self) -> None:
        if self._idle is None:
            return
        # A replay that comes right after another meets an idle run that is still being started.
        while not self._idle.done():
            if self._session is not None:
                self._session.stop()
            await asyncio.wait([self._idle], timeout=0.1)
        self._idle = None

    def _publish(self) -> None:
        if self._telemetry is not None:
            self._telemetry.publish(self.status())

    async def _tick(self) -> None:
        """Publish what the metrics are to show, give up a run whose driver is gone, begin again what failed."""
        while True:
            self._publish()
            if self._is_replaying and monotonic_s() - self._asked_s > LEASE_S:
                await self.stop()
            has_failed = self._idle_error and self._idle is not None and self._idle.done() and not self._is_replaying
            if has_failed and monotonic_s() - self._failed_s > IDLE_AGAIN_S:
                self._start_idle()
            await asyncio.sleep(TICK_S)
