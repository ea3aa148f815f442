"""What is missing or odd on this machine: all checks, in the order in which a person would want to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from deploy.cluster.runtime_folder import RuntimeFolder, locate_runtime_folder
from deploy.doctor import cluster, machine
from deploy.doctor.findings import Finding
from scheduler.protocol.errors import SupernodeError

Check = Callable[[], Finding]


def all_checks(folder: RuntimeFolder) -> Mapping[str, Check]:
    """Name -> check. None takes a second, and none imports Ray."""
    ours: Mapping[str, Callable[[RuntimeFolder], Finding]] = _OURS
    return {**_MACHINE, **{name: partial(check, folder) for name, check in ours.items()}, **_SURROUNDINGS}


def examine(checks: Mapping[str, Check] | None = None) -> list[Finding]:
    """Make all checks; one that cannot be made says so, and the others are made."""
    chosen = all_checks(locate_runtime_folder()) if checks is None else checks
    return [_made(name, check) for name, check in chosen.items()]


def _made(name: str, check: Check) -> Finding:
    try:
        return check()
    except SupernodeError as error:
        found, _, fix = str(error).partition("; ")
        return Finding(name, "bad", found, fix)
    except Exception as error:  # noqa: BLE001 - a doctor who faints at an odd machine helps nobody
        what = " ".join(f"{type(error).__name__}: {error}".split())
        return Finding(name, "warn", f"could not be looked at: {what}", "please report this line")


_MACHINE: Final[Mapping[str, Check]] = {
    "Python": machine.check_python,
    "Modules": machine.check_modules,
    "Ray": machine.check_ray,
    "Cores": machine.check_cores,
    "Memory": machine.check_memory,
    "Shared memory": machine.check_shared_memory,
    "Disk": machine.check_disk,
    "Open files": machine.check_open_files,
}

_OURS: Final[Mapping[str, Callable[[RuntimeFolder], Finding]]] = {
    "Runtime folder": cluster.check_runtime,
    "Cluster": cluster.check_cluster,
    "Token": cluster.check_cluster_token,
    "Leftovers": cluster.check_leftovers,
    "Metrics port": cluster.check_metrics_port,
    "Prometheus port": cluster.check_prometheus_port,
}

_SURROUNDINGS: Final[Mapping[str, Check]] = {
    "Environment": cluster.check_environment,
    "Prometheus": machine.check_prometheus,
    "Dashboards": machine.check_dashboards,
}
