"""Runs as Ray tasks, on a node of our own or on a cluster that is there.

The trace is put into Ray's object store once; a node that has no file of the same bytes at the same place takes it from
there, once for all its runs, and forgets it in the end.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import ray
from msgspec import Struct

from deploy.cluster.existing.program import SHIP_HINT, shipped
from deploy.cluster.local.local_cluster import LocalCluster
from deploy.cluster.ray_connection import joined
from deploy.sweep.runs import Run, file_digest, measure_run
from scheduler.protocol.errors import ClusterError, InputError
from workers.ray_shell.failures import MissingProgramError, from_ray
from workers.ray_shell.identity import Identity, find_stranger, identity
from workers.ray_shell.placement_groups import on_node

_RAY: Final[Any] = ray

AHEAD: Final = 2
"""Tasks under way for each processor: while one ends and is kept, the next has begun."""

FORGET_S: Final = 10.0
"""Wall seconds for nodes to remove their copies of the trace."""

MAX_STORED_BYTES: Final = 100 * 2**20
"""Of a trace in the object store; a larger one must lie at the same path on all nodes."""


own_identity = cache(identity)
"""Found once in each process: it reads all our files."""


class TraceCopy(Struct, frozen=True):
    """A trace as tasks are told of it: `reference` is a list, so that Ray does not fetch what it names unasked."""

    path: str
    digest: str
    reference: list[Any]
    sweep: str
    """Of this sweep only: another that runs at the same time has a copy of its own."""


@contextmanager
def cluster(address: str | None, num_processes: int, *, ships: bool = False) -> Generator[int]:
    """A node of our own with so many processors, or the cluster at an address, to which it `ships` our program; yields
    how many runs go at a time."""
    if address is not None:
        with ExitStack() as stack:
            with shipped(ships=ships) as environment:
                stack.enter_context(joined(address, runtime_env=environment))
            yield max(1, int(_RAY.cluster_resources().get("CPU", 1)))
        return
    with LocalCluster(0, num_cpus=num_processes):
        yield num_processes


def do(
    runs: Sequence[Run], trace: str, digest: str, num_at_a_time: int, done: Callable[[Run, dict[str, Any]], None]
) -> None:
    """All of them; `done` is told of each as it ends, in whatever order."""
    sweep = str(_RAY.get_runtime_context().get_job_id())
    copy = TraceCopy(str(Path(trace).resolve()), digest, _stored(trace), sweep)
    task = _RAY.remote(_measure).options(num_cpus=1, max_retries=2)
    waiting, under_way = list(reversed(runs)), dict[Any, Run]()
    ours = own_identity()
    try:
        while waiting or under_way:
            while waiting and len(under_way) < AHEAD * num_at_a_time:
                run = waiting.pop()
                under_way[task.remote(copy, run, ours)] = run
            ended, _ = _RAY.wait(list(under_way), num_returns=1)
            for reference in ended:
                run = under_way.pop(reference)
                done(run, _result(reference))
    finally:
        _forget_copies(copy)


def _forget_copies(copy: TraceCopy) -> None:
    """Have every other node remove the copy that it may have fetched; one that does not answer keeps it."""
    nodes = [node["NodeID"] for node in _RAY.nodes() if node["Alive"]]
    if len(nodes) < 2:  # ours alone, where the trace is
        return
    forget, options = _RAY.remote(_forget), {"num_cpus": 0, "max_retries": 0}
    calls = [forget.options(scheduling_strategy=on_node(node), **options).remote(copy) for node in nodes]
    _RAY.wait(calls, num_returns=len(calls), timeout=FORGET_S)


def _forget(copy: TraceCopy) -> None:
    shutil.rmtree(_fetched_folder(copy), ignore_errors=True)


def _result(reference: Any) -> dict[str, Any]:
    try:
        return _RAY.get(reference)
    except _RAY.exceptions.WorkerCrashedError:
        return {"error": "its process was killed three times; is there memory for so many runs at a time? (--jobs)"}
    except _RAY.exceptions.OutOfMemoryError:
        return {"error": "no memory was left for it; run fewer at a time (--jobs)"}
    except _RAY.exceptions.RayError as error:
        known = from_ray("a run", error)
        if isinstance(known, MissingProgramError):
            raise ClusterError(f"a node of the cluster does not have this program; {SHIP_HINT}") from None
        cause = getattr(error, "cause", None)
        if isinstance(cause, ClusterError | InputError):
            raise cause from None
        raise


def _stored(trace: str) -> list[Any]:
    path = Path(trace)
    if path.is_dir() or path.stat().st_size > MAX_STORED_BYTES:
        return []
    return [_RAY.put(path.read_bytes())]


def _measure(copy: TraceCopy, run: Run, expected: Identity) -> dict[str, Any]:
    """In a worker process."""
    if stranger := find_stranger(own_identity(), expected):
        raise ClusterError(stranger)
    return measure_run(_local_path(copy), run)


_checked: dict[str, str] = {}
"""Path of the trace of this digest, found by this process before."""


def _local_path(copy: TraceCopy) -> str:
    if copy.digest not in _checked:
        _checked[copy.digest] = _find_or_fetch(copy)
    return _checked[copy.digest]


def _fetched_folder(copy: TraceCopy) -> Path:
    return Path(tempfile.gettempdir()) / f"supernode-trace-{os.getuid()}-{copy.digest}-{copy.sweep}"


def _find_or_fetch(copy: TraceCopy) -> str:
    path = Path(copy.path)
    if path.exists() and file_digest(copy.path) == copy.digest:
        return copy.path
    if not copy.reference:
        raise InputError(f"{copy.path}: not there, or another file, on a node; put the trace at this path on all nodes")
    fetched = _fetched_folder(copy) / path.name
    if not (fetched.exists() and file_digest(str(fetched)) == copy.digest):
        fetched.parent.mkdir(mode=0o700, exist_ok=True)
        partial = fetched.with_name(f"{path.name}.{os.getpid()}")
        partial.write_bytes(_RAY.get(copy.reference[0]))
        os.replace(partial, fetched)
    return str(fetched)
