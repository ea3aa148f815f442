"""Ray's failures as this project's errors: one line each."""

from __future__ import annotations

import pickle
import re

from ray.exceptions import RayActorError, RayError, RayTaskError

from scheduler.protocol.errors import ClusterError, InputError, SupernodeError, WorkerLostError
from workers.ray_shell.identity import PACKAGES

_MISSING = re.compile(rf"No module named '(?P<module>(?P<package>{'|'.join(PACKAGES)})\b[\w.]*)'")


class MissingProgramError(ClusterError):
    """A process of the cluster does not find our packages, or finds others of their names."""


def portable(error: Exception) -> Exception:
    """The same error if it survives a change of process, else the nearest that does, with its text."""
    if _survives(error):
        return error
    if isinstance(error, InputError):
        return InputError(str(error))
    return ClusterError(f"{type(error).__name__}: {error}")


def _survives(error: Exception) -> bool:
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)
    except Exception:  # noqa: BLE001 - what cannot be pickled fails in many ways, and all mean the same
        return False


def from_ray(part: str, error: BaseException) -> SupernodeError:
    """What a failed call of `part` means: the error that its code raised, if it is one of ours, or a `ClusterError`."""
    if isinstance(error, TimeoutError):
        return ClusterError(f"{part} did not answer in time")
    if isinstance(error, RayTaskError):
        cause: object = error.cause
        if isinstance(cause, SupernodeError):
            return cause
        return ClusterError(f"{part} failed: {type(cause).__name__}: {_last_line(str(cause))}")
    if missing := _MISSING.search(str(error)):
        return MissingProgramError(
            f"a worker process cannot import {missing['module']!r}: another {missing['package']!r} comes before "
            "ours on its path; take that folder off PYTHONPATH, or start from another directory"
        )
    if isinstance(error, RayActorError):
        return WorkerLostError(f"{part} is gone: {_last_line(str(error))}")
    if isinstance(error, RayError):
        return ClusterError(f"{part} is gone: {_last_line(str(error))}")
    return ClusterError(f"{part}: {type(error).__name__}: {_last_line(str(error))}")


def _last_line(text: str) -> str:
    lines = text.strip().splitlines() or [""]
    return " ".join(lines[-1].split())
