"""What is left of clusters, who holds their ports, and what in the environment would mislead Ray?"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from deploy.cluster.answer import ask_status
from deploy.cluster.listeners import is_held, own_listeners, own_unix_sockets
from deploy.cluster.local.footprint import FOLDER_PREFIX, base_folder
from deploy.cluster.ports import METRICS_PORT, PROMETHEUS_PORT
from deploy.cluster.processes import session_members
from deploy.cluster.runtime_folder import OPEN_TO_OTHERS, RuntimeFolder, check_runtime_folder, check_token
from deploy.cluster.state import read_state, standing
from deploy.doctor.findings import Finding, Verdict
from scheduler.protocol.errors import ClusterError, SupernodeError
from scheduler.runtime.clock import wall_now_ns
from workers.ray_shell.identity import PACKAGES

YOUNG_S: Final = 120
"""A folder that began so lately may be that of a node which starts, and has no socket yet."""

MAX_NAMED: Final = 3

_ROOT: Final = Path(__file__).resolve().parents[2]

_MISLEADING: Final = {
    "RAY_ADDRESS": "leads Ray's own commands to another cluster than ours",
    "RAY_AUTH_TOKEN": "goes before the token file of a cluster, so that Ray's own commands are refused",
    "RAY_AUTH_MODE": "changes how Ray's own commands show a token; a cluster of ours always asks for one",
}


def check_runtime(folder: RuntimeFolder) -> Finding:
    """Is the runtime folder ours alone?"""
    if not os.path.lexists(folder.path):
        return Finding("Runtime folder", "ok", f"{folder.path}, to be made by 'supernode up'")
    return _refusal("Runtime folder", lambda: check_runtime_folder(folder)) or Finding(
        "Runtime folder", "ok", str(folder.path)
    )


def check_cluster(folder: RuntimeFolder) -> Finding:
    """Is the standing cluster well, if there is one?"""
    state = read_state(folder)
    stands = standing(state)
    if state is None:
        return Finding("Cluster", "ok", "none is up")
    if stands == "foreign":
        found, _, fix = state.line.partition("; ")
        return Finding("Cluster", "warn", found, fix)
    if stands == "crashed":
        left = len(session_members(state.keeper_pid, state.keeper_start))
        why, _, fix = state.line.partition("; ")
        why = why or f"its keeper (process {state.keeper_pid}) is gone"
        found = f"crashed: {why}" + (f"; {left} of its processes are left" if left else "")
        return Finding("Cluster", "bad", found, fix or "run 'supernode down', which clears what is left")
    if stands == "up" and state.metrics_address:
        try:
            seen = ask_status(state)
        except ClusterError as error:
            fix = f"wait until it is started again; if it is not, look at {folder.log_path}, or run 'supernode down'"
            return Finding("Cluster", "bad", str(error), fix)
        if seen.get("phase") == "broken":
            return Finding(
                "Cluster", "bad", f"broken: {seen.get('error')}", "run 'supernode down', then 'supernode up'"
            )
    return Finding("Cluster", "ok", f"{stands}, since {state.started_at}")


def check_cluster_token(folder: RuntimeFolder) -> Finding:
    """Is the cluster's token secret, and is there one only where there is a cluster?"""
    state = read_state(folder)
    is_down = standing(state) == "down"
    if not os.path.lexists(folder.token_path):
        if is_down:
            return Finding("Token", "ok", "none, as no cluster is up")
        if state is not None and state.namespace:
            return Finding("Token", "ok", "none of ours, as the Ray cluster was there before")
        return Finding("Token", "bad", "none beside a cluster", "run 'supernode down', then 'supernode up'")
    if refusal := _refusal("Token", lambda: check_token(folder.token_path)):
        return refusal
    if is_down:
        return Finding("Token", "warn", f"{folder.token_path} is left without a cluster", "run 'supernode down'")
    return Finding("Token", "ok", f"{folder.token_path}, ours alone")


def check_metrics_port(folder: RuntimeFolder, port: int = METRICS_PORT) -> Finding:
    """Can a cluster show its metrics?"""
    return _check_port("Metrics port", port, "bad", "--metrics-port", folder)


def check_prometheus_port(folder: RuntimeFolder, port: int = PROMETHEUS_PORT) -> Finding:
    """Can `up --prometheus` start its server?"""
    return _check_port("Prometheus port", port, "warn", "--prometheus-port", folder)


def check_leftovers(folder: RuntimeFolder, base: Path | None = None) -> Finding:
    """Are there folders of Ray nodes in which no process has a socket any more?"""
    base = base_folder() if base is None else base
    state = read_state(folder)
    kept = {folder.path, Path(state.ray_folder)} if state is not None else {folder.path}
    old = [path for path in sorted(base.glob(f"{FOLDER_PREFIX}*")) if path not in kept and _is_old(path)]
    in_use = own_unix_sockets() if old else set[str]()
    left = [path for path in old if not any(name.startswith(f"{path}/") for name in in_use)]
    if not left:
        return Finding("Leftovers", "ok", f"no folder of a dead Ray node in {base}")
    names = " ".join(map(str, left[:MAX_NAMED])) + (" ..." if len(left) > MAX_NAMED else "")
    return Finding("Leftovers", "warn", f"{len(left)} of dead Ray nodes in {base}", f"run 'rm -r {names}'")


def check_environment(environment: Mapping[str, str] = os.environ, home: Path | None = None) -> Finding:
    """Does something mislead Ray, or Python's search for our packages?"""
    found: list[str] = []
    fixes: list[str] = []
    stranger = _stranger(environment.get("PYTHONPATH", ""))
    if stranger:
        found.append(f"PYTHONPATH leads to another package, {stranger}, which worker processes would take for ours")
        fixes.append("take that folder off PYTHONPATH")
    if names := [name for name in _MISLEADING if environment.get(name)]:
        found += [f"{name} {_MISLEADING[name]}" for name in names]
        fixes.append(f"run 'unset {' '.join(names)}'")
    token = (Path.home() if home is None else home) / ".ray" / "auth_token"
    if token.is_file() and token.stat().st_mode & OPEN_TO_OTHERS:
        found.append(f"others can read {token}, the token of clusters that Ray starts by itself (not of ours)")
        fixes.append(f"run 'chmod 600 {token}'")
    if not found:
        return Finding("Environment", "ok", "nothing that misleads Ray")
    return Finding("Environment", "bad" if stranger else "warn", "; ".join(found), "; ".join(fixes))


def _refusal(name: str, check: Callable[[], None]) -> Finding | None:
    """The error of a check as a finding, its fix apart; None if it passes."""
    try:
        check()
    except SupernodeError as error:
        found, _, fix = str(error).partition("; ")
        return Finding(name, "bad", found, fix)
    return None


def _check_port(name: str, port: int, verdict: Verdict, flag: str, folder: RuntimeFolder) -> Finding:
    """Whether anybody holds the port is tried, because another user's listeners are not shown to us."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was just closed does not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = error.strerror or str(error)
        else:
            return Finding(name, "ok", f"{port} is free")
    state = read_state(folder)
    if state is not None and is_held(state.keeper_pid, state.keeper_start, port):
        return Finding(name, "ok", f"{port} is held by our cluster")
    holders = [listener for listener in own_listeners() if listener.port == port]
    who = f"process {holders[0].pid} ({holders[0].process})" if holders else f"a process of another user ({reason})"
    return Finding(name, verdict, f"{port} is held by {who}", f"end it, or run 'supernode up {flag} N'")


def _is_old(path: Path) -> bool:
    """A folder of ours that looks like that of a Ray node, and not of one that only just starts."""
    try:
        status = path.lstat()
    except OSError:
        return False
    is_old = wall_now_ns() / 1e9 - status.st_mtime > YOUNG_S
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and is_old and (path / "ray").is_dir()


def _stranger(python_path: str) -> str:
    """The first package on PYTHONPATH that has the name of one of ours and goes before it; empty if there is none."""
    for entry in filter(None, python_path.split(os.pathsep)):  # an empty one is where a process stands
        folder = Path(entry).resolve()
        if folder == _ROOT:
            return ""
        for package in PACKAGES:
            for path in (folder / package / "__init__.py", folder / f"{package}.py"):
                if path.is_file():
                    return str(path)
    return ""
