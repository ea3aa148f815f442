"""The process that keeps a cluster standing: it owns the Ray node, the actors and Prometheus, and ends them all.

`supernode up` starts it as the leader of a session of its own and hands it a `Launch` on stdin; what it writes goes to
the log. It keeps its phase in the state file, and ends in order on SIGTERM, when clients of HTTP have the rest of
their answers; on SIGINT, or a second signal, it waits for those no longer. Everything that it starts stays in its
session, so that `supernode down` finds it even after the keeper was killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Timer
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, convert, to_builtins
from msgspec.structs import replace

from deploy.cluster.existing.head_watch import HeadWatch
from deploy.cluster.local.node_watch import NodeWatch, node_processes
from deploy.cluster.processes import process_start, session_members
from deploy.cluster.runtime_folder import RuntimeFolder
from deploy.cluster.state import ClusterState, write_state
from deploy.settings.settings import Settings
from scheduler.protocol.errors import ClusterError, SupernodeError
from scheduler.runtime.clock import monotonic_s, pause_s, wall_now_text

# They import Ray.
if TYPE_CHECKING:
    from deploy.live.actors import HostPlan
    from workers.ray_shell.placement_groups import Seating

POLL_S: Final = 0.2
"""Wall seconds between two looks for a signal."""

CHECK_S: Final = 2.0
"""Wall seconds between two looks at the parts."""

MAX_GRACE_S: Final = 600.0
"""Wall seconds within which clients have the rest of their answers when it is told to end; who tells it so mostly says
before that that it is enough."""

END_S: Final = 15.0
"""Wall seconds for a cluster that has failed to end in order; then every process of its session is killed."""


class Launch(Struct, frozen=True):
    """What `supernode up` asks for. `prometheus_port` 0: no Prometheus. `http`: the fields of an `HttpSpec`;
    `existing`: those of an `ExistingSpec`, where the Ray cluster is not the keeper's own."""

    runtime_folder: str
    config: dict[str, Any]
    metrics_port: int
    prometheus_port: int = 0
    http: dict[str, Any] | None = None
    existing: dict[str, Any] | None = None


class Keeper:
    """`keep` brings the cluster up, watches it until it is told to end, and leaves nothing."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._folder = RuntimeFolder(Path(launch.runtime_folder))
        self._is_told_to_end = False
        self._is_hurried = False
        self._node: NodeWatch | HeadWatch
        pid = os.getpid()
        self._state = ClusterState(
            phase="starting",
            keeper_pid=pid,
            keeper_start=process_start(pid) or 0,
            config=launch.config,
            started_at=wall_now_text(),
        )

    def keep(self) -> int:
        """Run until it is told to end; returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        try:
            with ExitStack() as stack:
                self._bring_up(stack)
                stack.callback(self._note_stopping)
                self._note(phase="ready")
                try:
                    self._watch()
                except SupernodeError as error:
                    self._give_up(error)
                    raise
        except KeyboardInterrupt:
            pass  # it was told to end
        except Exception as error:  # noqa: BLE001 - the outermost frame: whoever waits for the cluster is told
            line = str(error) if isinstance(error, SupernodeError) else f"{type(error).__name__}: {error}"
            self._note(phase="failed", line=" ".join(line.split()))
            return 1
        finally:
            self._folder.forget()
        self._folder.state_path.unlink(missing_ok=True)
        return 0

    def _bring_up(self, stack: ExitStack) -> None:
        # Ray takes half a second to import; the state file must be there before.
        self._note()
        from deploy.admin.spec import AdminSpec
        from deploy.cluster.fleet import fleet_spec
        from deploy.http.spec import BLOCK_TOKENS as HTTP_BLOCK_TOKENS
        from deploy.http.spec import HttpSpec
        from deploy.live.actors import Actors
        from deploy.live.parts import MAKE_WORKER, host_plans, metered_addresses
        from deploy.system.blueprint import Blueprint
        from scheduler.sources.arrivals import BLOCK_TOKENS

        launch = self._launch
        http = None
        if launch.http is not None:
            # What a cluster before this one accepted was lost with it.
            self._folder.accepted_path.unlink(missing_ok=True)
            http = replace(convert(launch.http, HttpSpec), accepted_path=str(self._folder.accepted_path))
        block_tokens = BLOCK_TOKENS if http is None else HTTP_BLOCK_TOKENS
        blueprint = Blueprint(Settings.from_plain(launch.config), block_tokens)
        blueprint.make_core()
        hosts = host_plans(blueprint)
        seating = self._join(stack, hosts) if launch.existing is not None else self._start_node(stack, hosts)
        self._actors = Actors(hosts, MAKE_WORKER, seating)
        stack.callback(self._actors.close)
        stack.callback(self._actors.end_replay)
        admin = None if http is None else AdminSpec(str(self._folder.admin_token_path))
        placed = {} if seating is None else seating.placed()
        metered = metered_addresses(blueprint)
        self._fleet = fleet_spec(blueprint, hosts, metered, launch.metrics_port, http, admin, placed)
        addresses = self._actors.start(self._fleet, self._look)
        # A control plane that Ray starts anew must be found where the first one was.
        self._fleet = self._fleet.at(addresses)
        metrics_address = addresses["metrics"]
        self._note(
            metrics_address=metrics_address,
            http_address=addresses.get("http", ""),
            admin_address=addresses.get("admin", ""),
        )
        self._prometheus = None
        if self._launch.prometheus_port:
            from deploy.cluster.prometheus_server import PrometheusServer

            folder = self._folder.prometheus_folder
            self._prometheus = PrometheusServer(folder, self._launch.prometheus_port, metrics_address)
            stack.callback(self._prometheus.close)
            self._note(prometheus_address=self._prometheus.address)
        if seating is None:
            self._node = NodeWatch(node_processes(self._state.keeper_pid, self._state.keeper_start))
        else:
            self._node = HeadWatch(self._state.ray_address)
        stack.callback(self._actors.finish_serving, MAX_GRACE_S, lambda: self._is_hurried)
        stack.callback(self._leave_the_dead)

    def _start_node(self, stack: ExitStack, hosts: list[HostPlan]) -> None:
        """A Ray node of our own, on which all actors are."""
        from deploy.cluster.local.local_cluster import LocalCluster, make_node_folder

        node_folder = make_node_folder()
        self._note(ray_folder=str(node_folder))
        num_npus = sum(host.num_npus for host in hosts)
        cluster = stack.enter_context(LocalCluster(num_npus, node_folder, self._folder.token_path))
        self._note(ray_address=cluster.address)

    def _join(self, stack: ExitStack, hosts: list[HostPlan]) -> Seating:
        """A Ray cluster that was there before and will be there after; returns where the actors go on it."""
        from deploy.cluster.existing.attachment import Attachment
        from deploy.cluster.existing.spec import ExistingSpec

        spec = convert(self._launch.existing, ExistingSpec)
        attachment = stack.enter_context(Attachment(spec, {host.name: host.num_npus for host in hosts}, self._look))
        self._note(ray_address=attachment.address, namespace=attachment.namespace, note=attachment.note)
        return attachment.seating

    def _watch(self) -> None:
        """Check the parts until it is told to end; a control plane that is silent or gone is started and set up again.

        `ClusterError` if a process of the node is gone: a cluster without it cannot be repaired from within.
        """
        checked_s = monotonic_s()
        while not self._is_told_to_end:
            pause_s(POLL_S)
            if monotonic_s() - checked_s < CHECK_S:
                continue
            if trouble := self._node.trouble(monotonic_s()):
                raise ClusterError(f"{trouble}; run 'supernode down', then 'supernode up'")
            if line := self._actors.repair(self._fleet, self._look):
                self._note(line=f"{wall_now_text()}: {line}")
            if self._prometheus is not None and not self._prometheus.is_alive() and self._state.prometheus_address:
                self._note(prometheus_address="", line="Prometheus has ended; the log tells why")
            checked_s = monotonic_s()

    def _give_up(self, error: SupernodeError) -> None:
        """Say at once that the cluster has failed: to end what is left may take a while, or not come to an end."""
        self._note(phase="failed", line=" ".join(str(error).split()))
        self._end_soon()

    def _leave_the_dead(self) -> None:
        """Told to end just when its node has gone: nobody could be ended in order."""
        if self._node.trouble(monotonic_s()):
            self._end_soon()

    def _end_soon(self) -> None:
        self._actors.abandon()
        timer = Timer(END_S, self._end_for_certain)
        timer.daemon = True
        timer.start()

    def _end_for_certain(self) -> None:
        """Ray waits for its own parts; none of the session outlives this."""
        pid = self._state.keeper_pid
        for member in session_members(pid, self._state.keeper_start):
            if member != pid:
                with suppress(ProcessLookupError):
                    os.kill(member, signal.SIGKILL)
        os._exit(1)

    def _look(self) -> None:
        if self._is_told_to_end:
            raise KeyboardInterrupt

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        # Looked for between calls of Ray, which could be left half done.
        self._is_hurried = self._is_hurried or self._is_told_to_end or number == signal.SIGINT
        self._is_told_to_end = True

    def _note_stopping(self) -> None:
        if self._state.phase != "failed":
            self._note(phase="stopping")

    def _note(self, **changes: Any) -> None:
        self._state = replace(self._state, **changes)
        write_state(self._folder, self._state)


def launch_text(launch: Launch) -> str:
    """What a keeper reads on stdin."""
    return json.dumps(to_builtins(launch))


def main() -> int:
    """The process."""
    os.chdir(tempfile.gettempdir())  # the folder that it was started in may go away
    return Keeper(Launch(**json.load(sys.stdin))).keep()


if __name__ == "__main__":
    sys.exit(main())
