"""How long instances load their model, and that a run on the virtual clock waits for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.blueprint import Blueprint
from deploy.config import RunConfig
from deploy.faults.file import read_faults
from deploy.faults.parts import fabric_parts
from deploy.model_starts import absences, losable_workers, model_starts, start_ns
from deploy.replay import ReplayJob, ReplayResult, replay_virtual
from scheduler.gateway.faults import FaultPlan
from scheduler.gateway.losses import Absence, PlannedLoss
from scheduler.gateway.readers.options import TraceOptions
from scheduler.protocol.component import NEVER_NS
from sim_hw.model_loading import Strategy

S = 10**9
PLAN = "2x16p+1x160d+48c"
WEIGHTS = 671e9
"""DeepSeek-R1 in INT8, roughly."""


def blueprint(**settings: object) -> Blueprint:
    return Blueprint(RunConfig(plan=PLAN, **settings), 512)  # pyright: ignore[reportArgumentType]


def test_the_weights_lie_where_the_cache_is() -> None:
    pool = model_starts(blueprint())["prefill-0"]
    assert pool.strategy is Strategy.POOL
    assert pool.load_s == pytest.approx(WEIGHTS / (32 * 147e9), rel=0.05)
    over_vpc = model_starts(blueprint(cache_plane="vpc"))["prefill-0"]
    assert over_vpc.load_s == pytest.approx(WEIGHTS / 100e9, rel=0.05)
    assert model_starts(blueprint(cache="local"))["prefill-0"].strategy is Strategy.LOCAL
    cold = model_starts(blueprint(cache="none"))["prefill-0"]
    assert cold.strategy is Strategy.NONE
    assert cold.load_s == pytest.approx(WEIGHTS / 2.5e9, rel=0.05)


def test_loads_from_the_object_store_share_it_and_a_worker_lost_while_it_loads_begins_anew() -> None:
    blue = blueprint(cache="none")
    alone_s = start_ns(blue)["prefill-0"] / S
    losses = [PlannedLoss("prefill-0", 0, 10 * S), PlannedLoss("prefill-1", 0, 10 * S)]
    assert [one.ready_ns / S for one in absences(blue, losses)] == pytest.approx([10 + 2 * alone_s] * 2)
    again = [PlannedLoss("prefill-0", 0, 10 * S), PlannedLoss("prefill-0", 50 * S, 60 * S)]
    assert absences(blue, again)[0] == Absence("prefill-0", 0, NEVER_NS)


def replayed(tmp_path: Path, faults: str, **settings: object) -> ReplayResult:
    """Ten prompts, one every ten seconds."""
    trace = tmp_path / "trace.jsonl"
    row = '{"timestamp": %d, "input_length": 1000, "output_length": 20, "hash_ids": [%d, %d]}\n'
    trace.write_text("".join(row % (10_000 * i, 2 * i, 2 * i + 1) for i in range(10)))
    config = RunConfig(plan=PLAN, **settings)  # pyright: ignore[reportArgumentType]
    plan: FaultPlan | None = None
    if faults:
        path = tmp_path / "faults.yaml"
        path.write_text(faults)
        parts = fabric_parts(config.cluster, config.plan)
        plan = read_faults(str(path), parts, losable_workers(config, live=False))
    return replay_virtual(ReplayJob(str(trace), TraceOptions(), config, faults=plan))


def test_requests_wait_for_a_lost_instance_until_its_model_is_loaded(tmp_path: Path) -> None:
    text = "schedule:\n- {at: 25s, worker: decode-0, for: 2s}\n"
    warm, cold = replayed(tmp_path, text), replayed(tmp_path, text, cache="none")
    for result in (warm, cold):
        assert result.summary.requests.finished == 10
    fetch_s = start_ns(blueprint(cache="none"))["decode-0"] / S
    # The prompt of second 30 finds the instance back at 27 s, or waits for weights from the object store.
    assert warm.records.decode_started_ns[3] < 31 * S
    assert cold.records.decode_started_ns[3] >= (27 + fetch_s) * S
    (note,) = cold.notes
    assert note.startswith("decode-0 was lost at 25 s, started at 27 s and loaded its model from the object store")


def test_nothing_of_the_account_of_an_idle_instance_is_lost(tmp_path: Path) -> None:
    quiet = replayed(tmp_path, "")
    # Between two requests, so that nothing begins again.
    lost = replayed(tmp_path, "schedule:\n- {at: 25s, worker: prefill-0, for: 1s}\n")
    assert lost.summary.requests.retried == 0
    assert lost.summary.energy.joules == pytest.approx(quiet.summary.energy.joules, rel=1e-6)
