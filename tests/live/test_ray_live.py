"""The live runtime on a real local Ray cluster, held against the virtual run of the same system."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import ray

from deploy.cluster.local.local_cluster import LocalCluster
from deploy.cluster.processes import Processes
from deploy.live.actors import HostPlan
from deploy.live.control_plane import ACTOR_NAME
from deploy.live.run import LiveResult, Progress, run_live
from deploy.live.session import RunSpec
from scheduler.core.request_table import RequestTable
from scheduler.protocol.errors import ClusterError
from scheduler.protocol.finish import FINISHED, FinishReason
from scheduler.protocol.messages import (
    DecodeStepped,
    Message,
    PrefillStepped,
    RunEnded,
    UsageReported,
    WorkersJoined,
    WorkersLost,
)
from scheduler.runtime.journal import replay
from scheduler.runtime.virtual import VirtualRuntime
from tests.small_system import MAKE_CONTROL, MAKE_WORKER, WORKERS, make_control, make_core, make_worker, small_spec
from workers.ray_shell.host import HostSpec
from workers.ray_shell.identity import identity
from workers.ray_shell.transport import start_hosts, wait_ready

pytestmark = [
    pytest.mark.live,
    # Ray leaves sockets and files to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

HOSTS = [
    HostPlan("network", ("fabric", "cache"), 0),
    HostPlan("prefill-0", ("prefill-0",), 2),
    HostPlan("prefill-1", ("prefill-1",), 2),
    HostPlan("decode-0", ("decode-0",), 2),
]
METERED = ["prefill-0", "prefill-1", "decode-0"]
SPEC = small_spec(50, rate_per_s=10.0, seed=5)
CLIENTS = 6
CLOCK = "scheduler.runtime.clock:LiveClock.at_wall_zero"


def accounted(messages: list[tuple[int, Message]], end_ns: int) -> set[str]:
    """Instances that accounted for all of their time up to the end; every report carries an account."""
    reports = [m for _, m in messages if isinstance(m, PrefillStepped | DecodeStepped | UsageReported)]
    return {report.instance for report in reports if report.usage.end_ns >= end_ns}


def go(spec: dict[str, Any], on_progress: Progress | None = None, **more: Any) -> LiveResult:
    return run_live(HOSTS, MAKE_WORKER, METERED, RunSpec(MAKE_CONTROL, spec, **more), on_progress)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    processes = Processes()
    with LocalCluster(6):
        yield
    assert processes.end_new() == 0, "processes outlived the cluster"


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live") / "journal"


@pytest.fixture(scope="module")
def run(cluster: None, journal: Path) -> LiveResult:  # noqa: ARG001
    return go(SPEC, journal_path=str(journal))


def virtual(spec: dict[str, Any] = SPEC) -> tuple[int, RequestTable]:
    parts = make_control(spec)
    runtime = VirtualRuntime(
        [*parts.sources, parts.core, *(make_worker(spec, a) for a in WORKERS)],
        "core",
    )
    runtime.run()
    return runtime.now_ns, parts.keep()[0]


def ttft_s(table: RequestTable) -> float:
    return median((table.first_token_ns[i] - table.arrived_ns[i]) / 1e9 for i in range(table.num_requests))


def tpot_s(table: RequestTable) -> float:
    return median(
        (table.last_token_ns[i] - table.first_token_ns[i]) / 1e9 / (table.output_tokens[i] - 1)
        for i in range(table.num_requests)
        if table.output_tokens[i] > 1
    )


def test_every_request_is_accounted_for(run: LiveResult) -> None:
    table, messages = run.outcome.kept
    assert table.num_requests == 50
    assert table.num_open == 0
    assert {FinishReason(reason) for reason in table.reason[:50]} <= set(FINISHED)
    assert accounted(messages, run.outcome.end.end_ns) == set(METERED)
    assert messages[-1][1] == RunEnded(interrupted=False)
    assert not run.outcome.end.warnings


def test_latencies_are_those_of_the_virtual_clock(run: LiveResult) -> None:
    table: RequestTable = run.outcome.kept[0]
    end_ns, expected = virtual()
    assert 0.9 < ttft_s(table) / ttft_s(expected) < 3
    assert 0.9 < tpot_s(table) / tpot_s(expected) < 3
    assert 0.9 < run.outcome.end.end_ns / end_ns < 3
    assert run.outcome.end.hops.num_messages > 100
    assert 0 < run.outcome.end.hops.p50_wall_ns <= run.outcome.end.hops.p99_wall_ns


def test_time_goes_forward_for_the_core(run: LiveResult) -> None:
    messages: list[tuple[int, Message]] = run.outcome.kept[1]
    times = [now_ns for now_ns, _ in messages]
    assert times == sorted(times)


def test_the_journal_replays_to_the_same_commands(run: LiveResult, journal: Path) -> None:
    result = replay(journal, lambda _: make_core(SPEC))
    assert result.same, result.first_difference
    assert result.num_messages == len(run.outcome.kept[1])


@pytest.mark.usefixtures("cluster")
def test_clients_wait_for_their_answers_as_on_the_virtual_clock(tmp_path: Path) -> None:
    spec, journal = {**SPEC, "clients": CLIENTS}, tmp_path / "journal"
    run = go(spec, journal_path=str(journal))
    table, (end_ns, expected) = run.outcome.kept[0], virtual(spec)
    assert table.num_requests == 50
    assert {FinishReason(reason) for reason in table.reason[:50]} <= set(FINISHED)
    assert peak_in_flight(table) == peak_in_flight(expected) == CLIENTS
    # Who hears late of an end asks again as of that time: lateness does not pile up from turn to turn.
    assert 0.9 < ttft_s(table) / ttft_s(expected) < 3
    assert 0.9 < tpot_s(table) / tpot_s(expected) < 3
    assert 0.9 < run.outcome.end.end_ns / end_ns < 3
    assert all(table.arrived_ns[i] <= table.prefill_started_ns[i] for i in range(50))
    replayed = replay(journal, lambda _: make_core(spec))
    assert replayed.same, replayed.first_difference


def peak_in_flight(table: RequestTable) -> int:
    """The most requests that were open at once; who ends at an instant makes room for who comes at it."""
    ids = range(table.num_requests)
    changes = sorted([(table.arrived_ns[i], 1) for i in ids] + [(table.ended_ns[i], -1) for i in ids])
    return max(accumulate(change for _, change in changes))


@pytest.mark.usefixtures("cluster")
def test_an_interrupt_ends_the_run_early_with_all_accounted_for() -> None:
    asked: list[int] = []

    def interrupt_once(progress: dict[str, Any]) -> None:
        if progress.get("num_requests", 0) >= 15 and not asked:
            asked.append(progress["num_requests"])
            os.kill(os.getpid(), signal.SIGINT)

    result = go(small_spec(5000), interrupt_once)
    table, messages = result.outcome.kept
    assert result.outcome.end.interrupted
    assert table.num_open == 0
    assert 0 < table.num_requests < 5000
    assert FinishReason.INTERRUPTED in table.reason[: table.num_requests]
    assert accounted(messages, result.outcome.end.end_ns) == set(METERED)


@pytest.mark.usefixtures("cluster")
def test_an_interrupt_during_start_up_leaves_no_actor() -> None:
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        go(SPEC)
    timer.join()
    for name in (ACTOR_NAME, *(host.name for host in HOSTS)):
        with pytest.raises(ValueError, match="Failed to look up actor"):
            ray.get_actor(name)


@pytest.mark.usefixtures("cluster")
def test_a_worker_that_is_killed_is_started_again_and_costs_no_request() -> None:
    spec = small_spec(50, rate_per_s=10.0, max_output=300, seed=5)  # of which some ten decode at any time
    killed: list[int] = []

    def kill_decode(progress: dict[str, Any]) -> None:
        if progress.get("num_requests", 0) >= 15 and not killed:
            killed.append(1)
            ray.kill(ray.get_actor("decode-0"), no_restart=False)

    result = go(spec, kill_decode)
    table, messages = result.outcome.kept
    assert result.outcome.end.num_restarts == 1
    assert table.num_open == 0
    assert {FinishReason(reason) for reason in table.reason[:50]} <= set(FINISHED)
    assert any(table.retries[:50])
    assert [type(m) for _, m in messages if isinstance(m, WorkersLost | WorkersJoined)] == [WorkersLost, WorkersJoined]


@pytest.mark.usefixtures("cluster")
def test_a_worker_that_cannot_be_made_is_one_line() -> None:
    with pytest.raises(ClusterError, match=r"^decode-0 failed: ValueError: this worker cannot be made$"):
        go({**SPEC, "breaks": True})


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(("package", "part"), [("workers", "'workers"), ("sim_hw", "the package 'sim_hw' in")])
def test_a_folder_that_passes_for_ours_is_one_line(tmp_path: Path, package: str, part: str) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("")
    host = HostSpec(f"beside-{package}", ("cache",), 0, MAKE_WORKER, CLOCK)
    handles = start_hosts([host], "", runtime_env={"env_vars": {"PYTHONPATH": str(tmp_path)}})
    with pytest.raises(ClusterError) as caught:
        wait_ready(handles, identity(), 60.0)
    line = str(caught.value)
    assert part in line
    assert "take" in line
    assert "PYTHONPATH" in line
    assert "\n" not in line
