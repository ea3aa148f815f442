"""Replays in processes of their own, as many at a time as there are processors, and what is kept of each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Final, Self, TypeVar

from msgspec import Struct

from deploy.compare.idle import Misses, count_misses
from deploy.run.replay import ReplayJob, replay_virtual
from deploy.statistics.batches import NO_BATCHES, BatchMeans, batch_means
from deploy.statistics.run_quality import quality_lines
from deploy.terminal.progress import progress
from scheduler.policies.failures import failure_lines

SAFE_PATH: Final = "PYTHONSAFEPATH"
"""Variable by which Python leaves the current folder out of its path (`python -P`)."""

Task = TypeVar("Task")
Result = TypeVar("Result")


class Measured(Struct, frozen=True):
    """One replay. `document` is that of `replay --json`; requests arrived at `offered_requests_per_s` on the mean."""

    title: str
    document: dict[str, Any]
    offered_requests_per_s: float
    num_npus: int
    policy_warnings: tuple[str, ...] = ()
    """A line on each policy that failed."""
    trace_warnings: tuple[str, ...] = ()
    """Lines on what of the trace was left out or is not read."""
    misses: Misses | None = None
    """Of each limit; None without an SLO."""
    batches: BatchMeans = NO_BATCHES
    quality_warnings: tuple[str, ...] = ()
    """Lines on why its figures mean little, if they do."""

    @property
    def attainment(self) -> float:
        """Share of all arrived requests that met the SLO; 0 without one."""
        slo = self.document["slo"]
        return float(slo["attainment"] or 0.0) if slo else 0.0


def measure(job: ReplayJob) -> Measured:
    """Replay on the virtual clock; part of a replay is none, so Ctrl-C is raised."""
    result = replay_virtual(job)
    if result.is_partial:
        raise KeyboardInterrupt
    arrived_ns = result.records.arrived_ns
    span_s = float(arrived_ns.max()) / 1e9 if len(arrived_ns) else 0.0
    offered = len(arrived_ns) / span_s if span_s else 0.0
    failed = tuple(failure_lines(result.failures))
    told = tuple(line for line in result.warnings if line not in failed)
    slo = job.settings.requests.slo
    misses = None if slo is None else count_misses(slo, result.records)
    batches = batch_means(result.records, job.settings.requests.judged_slo)
    quality = tuple(quality_lines(result.records))
    return Measured(result.title, result.document(), offered, result.num_npus, failed, told, misses, batches, quality)


class RunProcesses:
    """Processes that stay until the end of the context, so many that `num` tasks go at a time; this one alone for 1.

    Ctrl-C ends them all; so does an error of any, which is raised here.
    """

    def __init__(self, num: int) -> None:
        self.num: Final = num
        self._pool: ProcessPoolExecutor | None = None
        self.num_done = 0

    def __enter__(self) -> Self:
        if self.num > 1:
            context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
            with _beginnings():  # one that tracks resources is started here
                self._pool = ProcessPoolExecutor(self.num, context, _be_quiet)
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            for process in multiprocessing.active_children():
                process.terminate()
            self._pool.shutdown(wait=True, cancel_futures=True)

    def all(self, work: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result]:
        """`work` of each task, in their order; `num_done` counts those that are done."""
        if self._pool is None:
            return [self._counted(work(task)) for task in tasks]
        with _beginnings():  # and those that work here
            futures = [self._pool.submit(work, task) for task in tasks]
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                self._counted(future.result())
        return [future.result() for future in futures]

    def _counted(self, result: Result) -> Result:
        self.num_done += 1
        return result


def in_processes(
    work: Callable[[Task], Result], tasks: Sequence[Task], title: str, num_processes: int | None = None
) -> list[Result]:
    """`work` of each task, in their order, while a line tells how far all are; alone, each shows its own progress."""
    num = min(len(tasks), num_processes or os.cpu_count() or 1)
    if num <= 1:
        return [work(task) for task in tasks]
    with RunProcesses(num) as processes, progress(title, lambda: (processes.num_done, len(tasks)), "runs"):
        return processes.all(work, tasks)


@contextmanager
def _beginnings() -> Generator[None]:
    """Processes that are started import nothing from the folder in which they happen to be started, and leave Ctrl-C,
    which reaches the whole group, to this one from their first instruction on: it waits here until they are started."""
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if before is None:
            del os.environ[SAFE_PATH]
        else:
            os.environ[SAFE_PATH] = before


def _be_quiet() -> None:
    """The line of progress of the first process is the only one."""
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
