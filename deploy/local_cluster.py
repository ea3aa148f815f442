"""A private local Ray node: started for a run, gone after it."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import ray

from deploy.processes import Processes
from scheduler.protocol.errors import ClusterError

OBJECT_STORE_BYTES: Final = 200 * 2**20
"""Ray's shared memory; messages do not go through it, only a run's result does."""

NUM_CPUS: Final = 2
"""What Ray is told. Actors take no CPU; more would only make Ray start idle workers in advance."""

MAX_STARTING: Final = 16
"""Processes that Ray starts at one time."""

NAMESPACE: Final = "supernode"

MAX_BASE_LENGTH: Final = 24
"""Longer temporary directories leave no room for the names of Ray's sockets (107 bytes on Linux, 103 on macOS)."""

MAX_REASON_LENGTH: Final = 200
"""Characters of Ray's own account of why it did not start."""

# Ray's types are incomplete, and its compiled part has none.
_RAY: Final[Any] = ray
_RAYLET: Final[Any] = import_module("ray._raylet")
_WORKER: Final[Any] = import_module("ray._private.worker")

_NPU_LOGGER: Final = "ray._private.accelerators.npu"


class LocalCluster:
    """A context manager around one Ray node that offers `num_npus` emulated NPUs and listens with a token of its own.

    Ray starts in an empty directory, so that a user's own folder `workers` does not pass for ours. What Ray leaves
    behind (processes, session files, changed environment) is cleared on the way out, whatever the reason.
    """

    def __init__(self, num_npus: int) -> None:
        self._num_npus = num_npus
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

    def close(self) -> None:
        """Stop the node and remove its files; a second call does nothing."""
        with _without_interrupts():
            self._stack.close()

    def _start(self) -> None:
        if _RAY.is_initialized():
            raise ClusterError("this process is connected to a Ray cluster already; disconnect it first")
        folder = Path(tempfile.mkdtemp(prefix="supernode-", dir=_short_base()))
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        empty = folder / "empty"
        empty.mkdir()
        self._stack.callback(_reread_authentication)
        self._stack.enter_context(_environment(_ray_environment(_write_token(folder))))
        _reread_authentication()
        self._stack.enter_context(_quiet(_NPU_LOGGER))
        self._stack.enter_context(_clean_stdout())
        processes = Processes()
        self._stack.callback(processes.end_new)
        self._stack.callback(_RAY.shutdown)
        # Once their parent is gone they are no longer known for ours.
        self._stack.callback(processes.note_new)
        with _directory(empty), _kept_handlers():
            try:
                _RAY.init(
                    address="local",
                    num_cpus=NUM_CPUS,
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


def _ray_environment(token_path: Path) -> dict[str, str]:
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_path),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Also the number of processes after whose fourfold Ray complains; starting all at once is a little faster.
        "RAY_worker_maximum_startup_concurrency": str(MAX_STARTING),
        "RAY_EXPERIMENTAL_NOSET_ASCEND_RT_VISIBLE_DEVICES": "1",
    }


def _write_token(folder: Path) -> Path:
    path = folder / "token"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(os.urandom(32).hex())
    return path


def _reread_authentication() -> None:
    """Have Ray's library in this process look at the environment again: it did at import, and it keeps a token.

    The configuration first: a thread of Ray that still ends must not look for a token that is gone (so Ray's tests).
    """
    _RAYLET.Config.initialize("")
    _RAYLET.AuthenticationTokenLoader.instance().reset_cache()


def _short_base() -> str:
    base = tempfile.gettempdir()
    return base if len(base) <= MAX_BASE_LENGTH else "/tmp"


@contextmanager
def _environment(values: dict[str, str]) -> Generator[None]:
    before = {name: os.environ.get(name) for name in (*values, "RAY_AUTH_TOKEN")}
    os.environ.pop("RAY_AUTH_TOKEN", None)
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _quiet(name: str) -> Generator[None]:
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _clean_stdout() -> Generator[None]:
    """Ray prints what its node complains of on stdout, where our result belongs; what matters of it raises anyway."""
    before = _WORKER.print_to_stdstream
    _WORKER.print_to_stdstream = _log_notice
    try:
        yield
    finally:
        _WORKER.print_to_stdstream = before


def _log_notice(data: dict[str, Any], *_: object, **__: object) -> None:
    logging.getLogger(__name__).info("ray: %s", " ".join(map(str, data.get("lines", ()))))


@contextmanager
def _directory(path: Path) -> Generator[None]:
    before = Path.cwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _kept_handlers() -> Generator[None]:
    """Ray puts its own handler on SIGTERM, which would end this process without a word to the run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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
