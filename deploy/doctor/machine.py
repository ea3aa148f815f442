"""Is there enough of everything on this machine, and are the programs there that we call?"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from deploy.cluster.local.footprint import GB, MB, OBJECT_STORE_BYTES, base_folder, default_cluster_bytes
from deploy.doctor.findings import Finding
from deploy.doctor.installation import ROOT, look

MIN_PYTHON: Final = (3, 11)
NEWEST_TESTED_PYTHON: Final = (3, 13)

TESTED_RAY: Final = (2, 60)
"""`deploy/cluster/local/local_cluster.py` uses internals as they are in this version."""

NEXT_RAY: Final = (3, 0)

ENOUGH_FILES: Final = 4096
"""Under it Ray itself warns of connection errors, after it has raised the soft limit (`ray/_private/worker.py`)."""

FEW_FILES: Final = 256
"""With 16 actors the raylet, which has most, holds 103 (measured), an actor 51, and each further actor adds a few."""

ENOUGH_CORES: Final = 2
"""Idle actors take 0.8 to 0.9 % of a core each; the control plane and what it talks to want one each."""

FULL_SHARE: Final = 0.95
"""Ray takes a file system for full beyond it (`RAY_local_fs_capacity_threshold`)."""

MIN_FREE_BYTES: Final = 200 * MB
"""Logs and sockets of a node, and its object store if shared memory is too small for it."""

_CGROUP: Final = Path("/sys/fs/cgroup")
_SHARED_MEMORY: Final = Path("/dev/shm")
_DASHBOARDS: Final = Path(__file__).parents[1] / "grafana" / "dashboards"


def check_python(running: tuple[int, int] = sys.version_info[:2]) -> Finding:
    """Is this Python one that we run on?"""
    found = f"{platform.python_version()} at {sys.executable}"
    if running < MIN_PYTHON:
        return Finding("Python", "bad", found, "install Python 3.11 or newer and make the environment anew")
    if running > NEWEST_TESTED_PYTHON:
        newest = ".".join(map(str, NEWEST_TESTED_PYTHON))
        return Finding("Python", "warn", f"{found}, newer than tested", f"use Python {newest} if something fails")
    return Finding("Python", "ok", found)


def check_modules(root: Path = ROOT, digests: Mapping[str, str] | None = None) -> Finding:
    """Do compiled modules run, and do they do what their sources say?"""
    found = look(root, digests)
    if not found.unlike:
        return Finding("Modules", "ok", found.describe())
    first, *others = found.unlike
    which = f"{root / first} and {len(others)} others" if others else f"{root / first}"
    edited = f"{which}: not the source of the compiled module beside it, which is what runs"
    fix = "install a wheel made from it ('make wheel'), or delete the compiled modules, and Python runs the sources"
    return Finding("Modules", "bad", edited, fix)


def check_ray() -> Finding:
    """Is Ray installed, in a version that we know? Looked up, not imported: that takes half a second."""
    fix = f"run '{sys.executable} -m pip install \"ray[default]=={'.'.join(map(str, TESTED_RAY))}.*\"'"
    try:
        found = version("ray")
    except PackageNotFoundError:
        return Finding("Ray", "bad", "not installed: nothing runs live", fix)
    parts = tuple(int(part) for part in found.split(".")[:2] if part.isdecimal())
    if not TESTED_RAY <= parts < NEXT_RAY:
        return Finding("Ray", "bad", f"{found}, which live runs do not work with", fix)
    if parts != TESTED_RAY:
        return Finding("Ray", "warn", f"{found}, newer than tested", fix)
    return Finding("Ray", "ok", found)


def check_cores(cgroup: Path = _CGROUP) -> Finding:
    """How many cores may this process use?"""
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_cores(cgroup)
    usable = num_cores if quota is None else min(num_cores, quota)
    found = f"{usable:g}" + (f" of {num_cores} (limit of the container)" if usable < num_cores else "")
    if usable < ENOUGH_CORES:
        return Finding("Cores", "warn", found, "live runs will be late: use a small --plan and no --speed above 1")
    return Finding("Cores", "ok", found)


def check_memory(cgroup: Path = _CGROUP) -> Finding:
    """Is there memory for a cluster of the default plan?"""
    import psutil

    needed = default_cluster_bytes()
    free = psutil.virtual_memory().available
    limit = _cgroup_free_bytes(cgroup)
    if limit is not None:
        free = min(free, limit)
    found = f"{free / GB:.1f} GB available; a default cluster takes {needed / GB:.1f} GB"
    if free < needed:
        return Finding("Memory", "bad", found, "end other programs, or use a smaller --plan such as 2x16p+1x32d+4c")
    if free < 2 * needed:
        return Finding("Memory", "warn", found, "close to what a cluster takes: end other programs before a live run")
    return Finding("Memory", "ok", found)


def check_open_files() -> Finding:
    """May processes open as many files as Ray wants? The hard limit counts: Ray raises the soft one towards it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= ENOUGH_FILES:
        most = "unlimited" if hard == resource.RLIM_INFINITY else f"{hard:,}"
        return Finding("Open files", "ok", f"{soft:,} (may rise to {most})" if soft != hard else f"{soft:,}")
    found = f"at most {hard:,}; Ray wants {ENOUGH_FILES:,}"
    fix = "raise the hard limit ('ulimit -Hn 8192' as root, LimitNOFILE= of the service, docker --ulimit nofile=8192)"
    return Finding("Open files", "bad" if hard < FEW_FILES else "warn", found, fix)


def check_shared_memory(folder: Path = _SHARED_MEMORY) -> Finding:
    """Does Ray's object store fit into shared memory?"""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return Finding("Shared memory", "ok", f"no {folder} here; Ray uses the folder of its files")
    found = f"{free / GB:.1f} GB free in {folder}; Ray's object store takes {OBJECT_STORE_BYTES / GB:.1f} GB"
    if free < OBJECT_STORE_BYTES:
        fix = "Ray falls back to the disk, which is slower: clear it, or give the container --shm-size=512m"
        return Finding("Shared memory", "warn", found, fix)
    return Finding("Shared memory", "ok", found)


def check_disk(folder: Path | None = None) -> Finding:
    """Is there room where Ray's files go?"""
    folder = base_folder() if folder is None else folder
    usage = shutil.disk_usage(folder)
    share = usage.used / max(1, usage.used + usage.free)
    found = f"{usage.free / GB:,.1f} GB free in {folder} ({100 * share:.0f} % used)"
    fix = "clear it, or set TMPDIR to a short path (at most 24 letters) with more room"
    if usage.free < MIN_FREE_BYTES:
        return Finding("Disk", "bad", found, fix)
    if share > FULL_SHARE:
        return Finding("Disk", "warn", f"{found}, which Ray takes for full", fix)
    return Finding("Disk", "ok", found)


def check_prometheus() -> Finding:
    """Are the server and its tool there, which `up --prometheus` and the tests of dashboards call?"""
    paths = {name: shutil.which(name) for name in ("prometheus", "promtool")}
    if missing := [name for name, path in paths.items() if path is None]:
        found = f"no {' and no '.join(missing)} on PATH"
        return Finding("Prometheus", "warn", found, "for 'supernode up --prometheus': 'apt install prometheus'")
    return Finding("Prometheus", "ok", ", ".join(map(str, paths.values())))


def check_dashboards(folder: Path = _DASHBOARDS) -> Finding:
    """Are the dashboards for Grafana where they belong?"""
    num_found = len(list(folder.glob("*.json")))
    if not num_found:
        return Finding("Dashboards", "warn", f"none in {folder}", "install supernode again: its package is not whole")
    return Finding("Dashboards", "ok", f"{num_found} in {folder}")


def _cgroup_free_bytes(cgroup: Path) -> int | None:
    """What a container's limit leaves, page cache that can be dropped included (cgroup version 2)."""
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
        stat = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
    except OSError:
        return None
    return int(limit) - used + int(stat.get("inactive_file", 0)) if limit.isdecimal() else None


def _cgroup_cores(cgroup: Path) -> float | None:
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except OSError:
        return None
    return int(quota) / int(period) if quota.isdecimal() else None
