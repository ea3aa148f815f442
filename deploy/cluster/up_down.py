"""`supernode up` and `supernode down`: start the keeper and wait until it is ready; end all, even after a crash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from msgspec import to_builtins

from deploy.cluster.existing.spec import ExistingSpec
from deploy.cluster.keeper import MAX_GRACE_S, Launch, launch_text
from deploy.cluster.local.footprint import FOLDER_PREFIX, base_folder
from deploy.cluster.processes import end_session, process_start
from deploy.cluster.runtime_folder import RuntimeFolder, locked, make_token, open_runtime_folder
from deploy.cluster.state import ClusterState, read_state, standing
from deploy.http.spec import KEY_VARIABLE, HttpSpec
from deploy.settings.settings import Settings
from deploy.terminal.output import tell
from scheduler.protocol.errors import ClusterError, ConfigError
from scheduler.protocol.quantity import read_quantity
from scheduler.runtime.clock import monotonic_s, pause_s

UP_S: Final = 240.0
"""Wall seconds for a cluster to come up; one with 16 actors takes 15."""

DOWN_S: Final = 30.0
"""Wall seconds that the keeper has to end in order; then everything of its session is killed."""

DEFAULT_GRACE: Final = "30s"
"""Time within which clients of HTTP have the rest of their answers before that, if nobody says otherwise."""

LOG_LINES: Final = 5
"""Of the log, in the error line for a keeper that ended without a reason in its state file."""

_POLL_S: Final = 0.1


def bring_up(
    settings: Settings,
    metrics_port: int,
    prometheus_port: int = 0,
    look: Callable[[], None] = lambda: None,
    http: HttpSpec | None = None,
    existing: ExistingSpec | None = None,
) -> ClusterState:
    """Start a cluster, with `http` one that serves clients, and wait until it is ready; `look` is called meanwhile and
    may raise. With `existing` its actors are on that Ray cluster, else on a node of its own.

    `ClusterError` if one is up already or if this one fails; nothing of it is left then.
    """
    folder = open_runtime_folder()
    with locked(folder):
        state = read_state(folder)
        match standing(state):
            case "up" | "starting" | "stopping" as phase:
                raise ClusterError(
                    f"a cluster is {phase} already; 'supernode status' shows it, 'supernode down' ends it"
                )
            case "foreign":
                raise ClusterError(f"{state.line if state else ''}, then 'supernode up' again")
            case "crashed":
                clear(folder, state)
                tell("cleared away what a cluster that crashed had left")
            case "down":
                folder.forget()  # of a keeper that was killed before it wrote a line
        if existing is None:
            make_token(folder.token_path)
        if http is not None:
            make_token(folder.admin_token_path)
        served = None if http is None else to_builtins(http)
        joins = None if existing is None else to_builtins(existing)
        launch = Launch(str(folder.path), settings.to_plain(), metrics_port, prometheus_port, served, joins)
        keeper = _start_keeper(folder, launch)
        with _cleared_on_error(folder, keeper):
            return _wait_ready(folder, keeper, look)


def take_down(finish_s: float = 0.0) -> int | None:
    """End the cluster and remove what it left; returns how many processes had to be killed, None if there was none.

    Clients of HTTP have the rest of their answers within `finish_s`, or until a Ctrl-C.
    """
    folder = open_runtime_folder()
    with locked(folder):
        state = read_state(folder)
        if state is None:
            folder.forget()
            return None
        return clear(folder, state, finish_s)


def read_grace_s(text: str) -> float:
    """Seconds of an option --grace; `ConfigError` for what is none."""
    seconds = read_quantity(text, "s", needs_unit=True)
    if not 0 <= seconds <= MAX_GRACE_S:
        raise ConfigError(f"--grace {text}: give a time from 0s to {MAX_GRACE_S:g}s")
    return seconds


def clear(folder: RuntimeFolder, state: ClusterState | None, finish_s: float = 0.0) -> int:
    """End every process of a cluster's session, then remove its files; returns how many had to be killed."""
    num_killed = 0
    if state is not None:
        if state.keeper_pid > 0:
            num_killed = end_session(state.keeper_pid, state.keeper_start, DOWN_S, finish_s)
        node_folder = Path(state.ray_folder)
        # Looked at twice because a state file may be damaged.
        is_ours = node_folder.parent == base_folder() and node_folder.name.startswith(FOLDER_PREFIX)
        if is_ours and node_folder != folder.path:
            shutil.rmtree(node_folder, ignore_errors=True)
    folder.forget()
    folder.state_path.unlink(missing_ok=True)
    return num_killed


def _start_keeper(folder: RuntimeFolder, launch: Launch) -> subprocess.Popen[bytes]:
    with folder.log_path.open("wb") as log:
        keeper = subprocess.Popen(
            # -P: a folder `deploy` where the user stands must not pass for ours.
            [sys.executable, "-P", "-m", "deploy.cluster.keeper"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if name != KEY_VARIABLE},
        )
    assert keeper.stdin is not None
    with suppress(BrokenPipeError), keeper.stdin as stdin:  # one that ended at once is found by whoever waits for it
        stdin.write(launch_text(launch).encode())
    return keeper


@contextmanager
def _cleared_on_error(folder: RuntimeFolder, keeper: subprocess.Popen[bytes]) -> Generator[None]:
    start = process_start(keeper.pid)
    try:
        yield
    except BaseException:
        state = read_state(folder)
        if start is not None:  # it may not have written a line yet
            end_session(keeper.pid, start, DOWN_S)
        keeper.wait()
        clear(folder, state)
        raise


def _wait_ready(folder: RuntimeFolder, keeper: subprocess.Popen[bytes], look: Callable[[], None]) -> ClusterState:
    deadline_s = monotonic_s() + UP_S
    while monotonic_s() < deadline_s:
        look()
        has_ended = keeper.poll() is not None
        state = read_state(folder)
        if state is not None and state.phase == "ready":
            return state
        if state is not None and state.phase == "failed" and state.keeper_pid == keeper.pid:
            raise ClusterError(state.line)
        if has_ended:
            raise ClusterError(f"the cluster ended while it started: {_last_lines(folder.log_path)}")
        pause_s(_POLL_S)
    raise ClusterError(f"the cluster was not ready within {UP_S:.0f} s: {_last_lines(folder.log_path)}")


def _last_lines(log_path: Path) -> str:
    lines = [line.strip() for line in log_path.read_text(errors="replace").splitlines() if line.strip()]
    return " | ".join(lines[-LOG_LINES:]) or "it wrote nothing"
