"""A local Ray node that offers emulated NPUs: started for a run or for a standing cluster, gone after it."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import ray

from deploy.cluster.local.footprint import FOLDER_PREFIX, OBJECT_STORE_BYTES, base_folder
from deploy.cluster.processes import Processes
from deploy.cluster.ray_connection import NAMESPACE, authenticated, kept_handlers, quiet
from deploy.cluster.runtime_folder import check_token, make_token
from scheduler.protocol.errors import ClusterError

NUM_CPUS: Final = 2
"""What Ray is told of a cluster of actors, which take none; more would only make Ray start idle workers in advance."""

MAX_STARTING: Final = 16
"""Processes that Ray starts at one time."""

MAX_REASON_LENGTH: Final = 200
"""Characters of Ray's own account of why it did not start."""

_RAY_ENVIRONMENT: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # A row in the books of its GCS for each call, kept for a dashboard that is not started.
    "RAY_task_events_report_interval_ms": "0",
    # Also the number of processes after whose fourfold Ray complains; starting all at once is a little faster.
    "RAY_worker_maximum_startup_concurrency": str(MAX_STARTING),
    "RAY_EXPERIMENTAL_NOSET_ASCEND_RT_VISIBLE_DEVICES": "1",
}

# Ray's types are incomplete.
_RAY: Final[Any] = ray
_PARAMETERS: Final[Any] = import_module("ray._private.parameter")


def make_node_folder() -> Path:
    """A new folder for the files of a node, for this user only, where the names of Ray's sockets are short enough."""
    return Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=base_folder()))


class LocalCluster:
    """A context manager around one Ray node that offers `num_npus` emulated NPUs, and `num_cpus` to tasks, and listens
    with a token of its own.

    `folder` holds Ray's files, in a new one by default; it is removed in the end. `token_path` names a token that is
    there, else one is made in the folder. Ray starts in an empty directory, so that a user's own folder `workers` does
    not pass for ours. What Ray leaves behind (processes, session files, changed environment) is cleared on the way out,
    whatever the reason.
    """

    def __init__(
        self, num_npus: int, folder: Path | None = None, token_path: Path | None = None, num_cpus: int = NUM_CPUS
    ) -> None:
        self._num_npus = num_npus
        self._num_cpus = num_cpus
        self._folder = folder
        self._token_path = token_path
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def address(self) -> str:
        """Where a driver connects to, HOST:PORT."""
        return _RAY.get_runtime_context().gcs_address

    def close(self) -> None:
        """Stop the node and remove its files; a second call does nothing."""
        with _without_interrupts():
            self._stack.close()

    def _start(self) -> None:
        if _RAY.is_initialized():
            raise ClusterError("this process is connected to a Ray cluster already; disconnect it first")
        folder = self._folder or make_node_folder()
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        empty = folder / "empty"
        empty.mkdir()
        token_path = self._token_path
        if token_path is None:
            token_path = folder / "token"
            make_token(token_path)
        check_token(token_path)
        self._stack.enter_context(authenticated(token_path, _RAY_ENVIRONMENT))
        self._stack.enter_context(quiet())
        processes = Processes()
        self._stack.callback(processes.end_new)
        self._stack.callback(_RAY.shutdown)
        # Once their parent is gone they are no longer known for ours.
        self._stack.callback(processes.note_new)
        with _directory(empty), kept_handlers(), _without_monitor():
            try:
                _RAY.init(
                    address="local",
                    num_cpus=self._num_cpus,
                    resources={"NPU": self._num_npus},
                    object_store_memory=OBJECT_STORE_BYTES,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    namespace=NAMESPACE,
                    _temp_dir=str(folder / "ray"),
                )
            except Exception as error:
                line = " ".join(str(error).split())[:MAX_REASON_LENGTH]
                raise ClusterError(f"cannot start the local Ray node: {type(error).__name__}: {line}") from error


@contextmanager
def _without_monitor() -> Generator[None]:
    """Ray's autoscaler has no machine to add here, takes a process, and opens two ports to everybody."""
    before = _PARAMETERS.RayParams
    _PARAMETERS.RayParams = partial(before, no_monitor=True)
    try:
        yield
    finally:
        _PARAMETERS.RayParams = before


@contextmanager
def _directory(path: Path) -> Generator[None]:
    before = Path.cwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _without_interrupts() -> Generator[None]:
    """A further signal must not leave half a cluster behind. Only the main thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
