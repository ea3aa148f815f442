"""What a process sets to talk to a Ray node of ours: the token, signal handlers, and Ray's own output kept quiet."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import ray

from deploy.cluster.existing.refusals import refusal
from deploy.cluster.runtime_folder import check_token
from scheduler.protocol.errors import ClusterError

NAMESPACE: Final = "supernode"

# Ray's types are incomplete, and its compiled part has none.
_RAY: Final[Any] = ray
_RAYLET: Final[Any] = import_module("ray._raylet")
_WORKER: Final[Any] = import_module("ray._private.worker")

_NPU_LOGGER: Final = "ray._private.accelerators.npu"


@contextmanager
def connected(address: str, token_path: Path) -> Generator[None]:
    """Be a driver of the cluster at `address` while the body runs; `ClusterError` if it cannot be reached."""
    check_token(token_path)
    with authenticated(token_path), joined(address, "'supernode status' tells how it stands"):
        yield


@contextmanager
def joined(
    address: str,
    fix: str = "is it up, and is this the address of its head?",
    namespace: str = NAMESPACE,
    runtime_env: dict[str, Any] | None = None,
) -> Generator[None]:
    """Be a driver of any Ray cluster, with whatever authentication the environment has, while the body runs;
    `ClusterError`, which ends in `fix`, if it cannot be reached. Names of actors are those of the `namespace`."""
    if _RAY.is_initialized():
        raise ClusterError("this process is connected to a Ray cluster already; disconnect it first")
    with ExitStack() as stack:
        stack.enter_context(quiet())
        stack.callback(_RAY.shutdown)
        with kept_handlers():
            try:
                _RAY.init(
                    address=address,
                    namespace=namespace,
                    runtime_env=runtime_env,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            except Exception as error:
                raise ClusterError(refusal(address, error, fix)) from error
        yield


@contextmanager
def authenticated(token_path: Path, environment: Mapping[str, str] | None = None) -> Generator[None]:
    """Have Ray's library, and what it starts, show the token; sets further variables besides."""
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token_path)}
    try:
        with _environment({**token, **(environment or {})}):
            _reread_authentication()
            yield
    finally:
        _reread_authentication()


@contextmanager
def quiet() -> Generator[None]:
    """Ray complains of a missing Ascend driver with a traceback, and prints what its node says on stdout, where our
    result belongs; what matters of it raises anyway."""
    logger = logging.getLogger(_NPU_LOGGER)
    level, print_notice = logger.level, _WORKER.print_to_stdstream
    logger.setLevel(logging.CRITICAL + 1)
    _WORKER.print_to_stdstream = _log_notice
    try:
        yield
    finally:
        logger.setLevel(level)
        _WORKER.print_to_stdstream = print_notice


@contextmanager
def kept_handlers() -> Generator[None]:
    """Ray puts its own handler on SIGTERM, which would end this process without a word to the run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _reread_authentication() -> None:
    """Have Ray's library in this process look at the environment again: it did at import, and it keeps a token.

    The configuration first: a thread of Ray that still ends must not look for a token that is gone (so Ray's tests).
    """
    _RAYLET.Config.initialize("")
    _RAYLET.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _environment(values: Mapping[str, str]) -> Generator[None]:
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


def _log_notice(data: dict[str, Any], *_: object, **__: object) -> None:
    logging.getLogger(__name__).info("ray: %s", " ".join(map(str, data.get("lines", ()))))
