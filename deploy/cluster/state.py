"""The state file of a standing cluster: the keeper writes it, commands read it, and a damaged one is told as such."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from msgspec import Struct, field, to_builtins
from msgspec.structs import FieldInfo, fields, replace

from deploy.cluster.processes import process_start
from deploy.cluster.runtime_folder import RuntimeFolder, check_runtime_folder, read_private
from scheduler.protocol.errors import ClusterError

VERSION: Final = 5

Phase = Literal["starting", "ready", "stopping", "failed"]
"""The phase that the keeper wrote last."""

Standing = Literal["up", "starting", "stopping", "crashed", "foreign", "down"]
"""How the cluster really stands: "crashed" has left something that `supernode down` must clear, "down" nothing;
"foreign" is one that lives, of another version of this program, which can only be ended."""

MAX_STATE_BYTES: Final = 2**20

_BOOT_ID_PATH: Final = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE_PATH: Final = Path("/proc/self/ns/pid")


def process_world() -> str:
    """The boot and the PID namespace within which process ids mean the same as here; empty where there is no /proc."""
    try:
        return f"{_BOOT_ID_PATH.read_text().strip()} {_PID_NAMESPACE_PATH.readlink()}"
    except OSError:
        return ""


class ClusterState(Struct, frozen=True):
    """One cluster of one user. Texts are empty, and numbers 0, for what is not known yet or not there."""

    phase: Phase
    keeper_pid: int
    keeper_start: int
    """`process_start` of it: a reused id is not taken for the keeper."""
    line: str = ""
    """Why it failed, in one line for a person."""
    ray_folder: str = ""
    ray_address: str = ""
    namespace: str = ""
    """Of our actors' names in an existing Ray cluster; empty for a Ray node of the keeper's own."""
    note: str = ""
    """Where in an existing Ray cluster it is, in one line for a person."""
    metrics_address: str = ""
    """HOST:PORT, as the one below, on this machine's loopback: what is asked there is told to nobody else."""
    prometheus_address: str = ""
    http_address: str = ""
    """HOST:PORT where clients are served; other machines may reach it."""
    admin_address: str = ""
    """HOST:PORT of the admin port, on this machine's loopback."""
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    started_at: str = ""
    """UTC, ISO 8601 (`scheduler.runtime.clock.wall_now_text`)."""
    version: int = VERSION
    world: str = field(default_factory=process_world)
    """See `process_world`."""


def write_state(folder: RuntimeFolder, state: ClusterState) -> None:
    """Write it as a whole or not at all, for this user's eyes only."""
    path = folder.state_path
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # mode 0600
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(to_builtins(state), file, indent=2)
            file.write("\n")
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_state(folder: RuntimeFolder) -> ClusterState | None:
    """What the keeper wrote there, None if nothing is. `ConfigError` if the folder is not this user's alone.

    A file that is a link, another user's or open to others is not read, and is told as a cluster that failed. So is one
    that cannot be understood: `line` says why, and fields that are sound are kept; and one from another boot or
    container, with its keeper's id taken out, as that may be anybody's here.
    """
    document: dict[str, Any] = {}
    problem = ""
    path = folder.state_path
    if not os.path.lexists(folder.path):
        return None
    check_runtime_folder(folder)
    try:
        document = _object(json.loads(read_private(path, MAX_STATE_BYTES)))
        _check(document)
        state = ClusterState(**{name: document[name] for name in ClusterState.__struct_fields__})
    except FileNotFoundError:
        return None
    except ClusterError as error:
        return _failed({}, f"{error}; it is not read; run 'supernode down', which removes it")
    except OSError as error:
        if path.is_symlink():
            return _failed({}, f"{path} is a symbolic link; it is not read; run 'supernode down', which removes it")
        return _failed(document, f"{path} cannot be read: {error.strerror}; fix that, then run 'supernode down'")
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, _StateError) else "it is no JSON"
        problem = f"{path}: {reason}; run 'supernode down'"
        state = _failed(document, problem)
        if standing(state) == "foreign":
            line = (
                f"a cluster of another version of supernode is up (its state is of version {state.version}, not "
                f"{VERSION}); use that version, or run 'supernode down'"
            )
            return replace(state, line=line)
    if state.keeper_pid and state.world != process_world():
        line = problem or "the machine or container was started anew since; run 'supernode down'"
        return replace(state, phase="failed", line=line, keeper_pid=0, keeper_start=0)
    return state


def standing(state: ClusterState | None) -> Standing:
    """How the cluster stands, by its state file and by whether its keeper is alive."""
    if state is None:
        return "down"
    if state.version != VERSION and process_start(state.keeper_pid) == state.keeper_start:
        return "foreign"
    if state.phase == "failed" or state.keeper_pid <= 0 or process_start(state.keeper_pid) != state.keeper_start:
        return "crashed"
    return "up" if state.phase == "ready" else state.phase


class _StateError(ValueError):
    """JSON that is no state of ours."""


_TYPES: Final = {int: int, str: str, Phase: str, dict[str, Any]: dict}


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


_LOOPBACK_ADDRESS: Final = re.compile(r"(127\.0\.0\.1:[0-9]{1,5})?")


def _is_sound(one: FieldInfo, document: dict[str, Any]) -> bool:
    value = document.get(one.name)
    if type(value) is not _TYPES[one.type]:
        return False
    if one.name in ("metrics_address", "prometheus_address", "admin_address"):
        return _LOOPBACK_ADDRESS.fullmatch(document[one.name]) is not None
    return one.name != "phase" or value in get_args(Phase)


def _failed(document: dict[str, Any], line: str) -> ClusterState:
    """A failed cluster of which as much is known as is sound: a keeper of another version must be found and ended."""
    known: dict[str, Any] = {"keeper_pid": 0, "keeper_start": 0, "world": ""}
    known |= {one.name: document[one.name] for one in fields(ClusterState) if _is_sound(one, document)}
    known.update(phase="failed", line=line)
    return ClusterState(**known)
