"""The state file of a standing cluster: the keeper writes it, commands read it, and a damaged one is told as such."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import Field, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from deploy.cluster.processes import process_start

VERSION: Final = 1

Phase = Literal["starting", "ready", "stopping", "failed"]
"""The phase that the keeper wrote last."""

Standing = Literal["up", "starting", "stopping", "crashed", "down"]
"""How the cluster really stands: "crashed" has left something that `supernode down` must clear, "down" nothing."""

MAX_STATE_BYTES: Final = 2**20

_BOOT_ID_PATH: Final = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE_PATH: Final = Path("/proc/self/ns/pid")


def process_world() -> str:
    """The boot and the PID namespace within which process ids mean the same as here; empty where there is no /proc."""
    try:
        return f"{_BOOT_ID_PATH.read_text().strip()} {_PID_NAMESPACE_PATH.readlink()}"
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class ClusterState:
    """One cluster of one user. Texts are empty, and numbers 0, for what is not known yet or not there."""

    phase: Phase
    keeper_pid: int
    keeper_start: int
    """`process_start` of it: a reused id is not taken for the keeper."""
    line: str = ""
    """Why it failed, in one line for a person."""
    ray_folder: str = ""
    ray_address: str = ""
    token_path: str = ""
    metrics_address: str = ""
    prometheus_address: str = ""
    log_path: str = ""
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    started_at: str = ""
    """UTC, ISO 8601 (`scheduler.runtime.clock.wall_now_text`)."""
    version: int = VERSION
    world: str = field(default_factory=process_world)
    """See `process_world`."""


def write_state(path: Path, state: ClusterState) -> None:
    """Write it as a whole or not at all, for this user's eyes only."""
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # mode 0600
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(state), file, indent=2)
            file.write("\n")
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_state(path: Path) -> ClusterState | None:
    """What is written there, None if nothing is.

    A file that cannot be understood is returned as a cluster that failed: `line` says why, and fields that are sound
    are kept. So is one from another boot or container, with its keeper's id taken out, as that may be anybody's here.
    """
    document: dict[str, Any] = {}
    problem = ""
    try:
        with open(path, "rb") as file:
            document = _object(json.loads(file.read(MAX_STATE_BYTES)))
        _check(document)
        state = ClusterState(**{one.name: document[one.name] for one in fields(ClusterState)})
    except FileNotFoundError:
        return None
    except OSError as error:
        return _failed(document, f"{path} cannot be read: {error.strerror}; mend that, then run 'supernode down'")
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, _StateError) else "it is no JSON"
        problem = f"{path}: {reason}; run 'supernode down'"
        state = _failed(document, problem)
    if state.keeper_pid and state.world != process_world():
        line = problem or "the machine or container was started anew since; run 'supernode down'"
        return replace(state, phase="failed", line=line, keeper_pid=0, keeper_start=0)
    return state


def standing(state: ClusterState | None) -> Standing:
    """How the cluster stands, by its state file and by whether its keeper is alive."""
    if state is None:
        return "down"
    if state.phase == "failed" or state.keeper_pid <= 0 or process_start(state.keeper_pid) != state.keeper_start:
        return "crashed"
    return "up" if state.phase == "ready" else state.phase


class _StateError(ValueError):
    """JSON that is no state of ours."""


_TYPES: Final = {"int": int, "str": str, "Phase": str, "dict[str, Any]": dict}


def _object(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise _StateError("it is no JSON object")
    return {str(key): value for key, value in cast(dict[object, Any], document).items()}


def _check(document: dict[str, Any]) -> None:
    if document.get("version") != VERSION:
        raise _StateError(f"it is of version {document.get('version')!r}, not {VERSION}")
    for one in fields(ClusterState):
        if one.name not in document:
            raise _StateError(f"it lacks {one.name}")
        if not _is_sound(one, document):
            raise _StateError(f"its {one.name} is {document[one.name]!r:.40}")


def _is_sound(one: Field[Any], document: dict[str, Any]) -> bool:
    value = document.get(one.name)
    return type(value) is _TYPES[str(one.type)] and (one.name != "phase" or value in get_args(Phase))


def _failed(document: dict[str, Any], line: str) -> ClusterState:
    """A failed cluster of which as much is known as is sound: a keeper of another version must be found and ended."""
    known: dict[str, Any] = {"keeper_pid": 0, "keeper_start": 0, "world": ""}
    known |= {one.name: document[one.name] for one in fields(ClusterState) if _is_sound(one, document)}
    known.update(phase="failed", line=line, version=VERSION)
    return ClusterState(**known)
