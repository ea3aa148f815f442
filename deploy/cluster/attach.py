"""Replay into a standing cluster, or call its control plane: this process becomes a second driver of its Ray node."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import ray

from deploy.cluster.listeners import session_listeners
from deploy.cluster.local.node_watch import is_stopped
from deploy.cluster.ray_connection import connected, joined
from deploy.cluster.runtime_folder import locate_runtime_folder
from deploy.cluster.state import ClusterState, read_state, standing
from deploy.live.actors import CALL_S
from deploy.live.control_plane import ACTOR_NAME
from deploy.live.run import Driver, LiveResult, Progress
from deploy.live.session import RunSpec
from deploy.terminal.interrupt import EndsUnlessDone, stop_on_interrupt
from scheduler.protocol.errors import ClusterError
from scheduler.runtime.clock import monotonic_s
from workers.ray_shell.identity import identity
from workers.ray_shell.transport import call_all, wait_ready

CONNECT_S: Final = 30.0
"""Wall seconds to reach the control plane; one that was killed takes about 2 to come back."""

# Ray's types are incomplete.
_RAY: Final[Any] = ray


def run_attached(cluster: ClusterState, run: RunSpec, on_progress: Progress | None = None) -> LiveResult:
    """Run on a standing cluster; otherwise as `live_run.run_live`."""
    began_s = monotonic_s()
    driver = Driver(run, on_progress)
    try:
        with stop_on_interrupt(driver.stop), attached(cluster) as control:
            return driver.drive(control, began_s)
    except ClusterError as error:
        state = read_state(locate_runtime_folder())
        if state is not None and standing(state) == "up" and state.started_at == cluster.started_at:
            raise
        why = f" ({state.line})" if state is not None and state.line else ""
        raise ClusterError(
            f"the cluster was taken down or has failed{why} while the replay ran, and its result is lost; "
            "'supernode status' tells how it stands"
        ) from error


def control_call(cluster: ClusterState, command: str, **arguments: Any) -> Any:
    """Ask the control plane of a standing cluster for an operation (`control_calls.COMMANDS`); returns its result."""
    with asking(cluster) as ask:
        return ask(command, **arguments)


@contextmanager
def asking(cluster: ClusterState) -> Generator[Callable[..., Any]]:
    """Asks the control plane for one operation after the other, each by its name and named arguments."""
    with attached(cluster) as control:

        def ask(command: str, **arguments: Any) -> Any:
            return call_all({ACTOR_NAME: control.call.remote(command, arguments)}, CALL_S)[ACTOR_NAME]

        yield ask


@contextmanager
def attached(cluster: ClusterState) -> Generator[Any]:
    """The control plane's handle while the body runs; `ClusterError` if it is not there or runs other code."""
    late = EndsUnlessDone(
        CONNECT_S,
        f"the cluster does not answer within {CONNECT_S:.0f} s; 'supernode status' tells how it stands, "
        "'supernode down' ends it",
    )
    with late, _driver(cluster):
        try:
            control = _RAY.get_actor(ACTOR_NAME)
        except ValueError:
            raise ClusterError(
                "the cluster has no control plane; 'supernode down', then 'supernode up' again"
            ) from None
        wait_ready({ACTOR_NAME: control}, identity(), CONNECT_S)
        late.done()
        yield control


def _driver(cluster: ClusterState) -> AbstractContextManager[None]:
    """Be one of its Ray cluster, in the namespace of its actors."""
    if cluster.namespace:
        return joined(cluster.ray_address, "'supernode status' tells how it stands", cluster.namespace)
    _refuse_stranger(cluster)
    return connected(cluster.ray_address, locate_runtime_folder().token_path)


def _refuse_stranger(cluster: ClusterState) -> None:
    """The token is shown to the cluster's own process only: where its Ray node was, another may listen now."""
    _, _, port = cluster.ray_address.rpartition(":")
    listeners = session_listeners(cluster.keeper_pid, cluster.keeper_start)
    holders = [listener.pid for listener in listeners if str(listener.port) == port]
    if any(map(is_stopped, holders)):
        raise ClusterError(
            f"the cluster's Ray node at {cluster.ray_address} is stopped (SIGSTOP); let it go on, or 'supernode down'"
        )
    if not holders:
        raise ClusterError(
            f"the cluster's Ray node is gone from {cluster.ray_address}; 'supernode down', then 'supernode up' again"
        )
