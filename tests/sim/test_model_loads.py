"""On the virtual clock a lost instance is not there before its weights are, and they share the fabric with KV."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.faults.file import read_faults
from deploy.faults.parts import fabric_parts
from deploy.faults.workers import losable_workers
from deploy.run.replay import ReplayJob, ReplayResult, replay_virtual
from deploy.settings.settings import Settings
from deploy.system.blueprint import Blueprint
from scheduler.sources.faults import FaultPlan
from scheduler.sources.traces.options import TraceOptions

S = 10**9
PLAN = "2x16p+1x160d+48c"


def replayed(tmp_path: Path, faults: str, gap_s: int = 10, **settings: object) -> ReplayResult:
    """Ten prompts, one every so many seconds."""
    trace = tmp_path / "trace.jsonl"
    row = '{"timestamp": %d, "input_length": 1000, "output_length": 20, "hash_ids": [%d, %d]}\n'
    trace.write_text("".join(row % (1000 * gap_s * i, 2 * i, 2 * i + 1) for i in range(10)))
    config = Settings.from_plain({"plan": PLAN, **settings})
    plan: FaultPlan | None = None
    if faults:
        path = tmp_path / "faults.yaml"
        path.write_text(faults)
        parts = fabric_parts(config.hardware)
        plan = read_faults(str(path), parts, losable_workers(config, live=False))
    return replay_virtual(ReplayJob(str(trace), TraceOptions(), config, faults=plan))


def weight_bytes() -> int:
    blue = Blueprint(Settings.from_plain({"plan": PLAN}), 512)
    return blue.model_weights().num_tokens * blue.kv_bytes_per_token


def test_requests_wait_for_a_lost_instance_until_its_model_is_loaded(tmp_path: Path) -> None:
    text = "schedule:\n- {at: 25s, worker: decode-0, for: 2s}\n"
    warm, cold = replayed(tmp_path, text), replayed(tmp_path, text, cache="none")
    for result in (warm, cold):
        assert result.summary.requests.finished == 10
    fetch_s = weight_bytes() / 2.5e9
    # The prompt of second 30 finds the instance back at 27 s, or waits for weights from the object store.
    assert warm.records.decode_started_ns[3] < 31 * S
    assert cold.records.decode_started_ns[3] >= (27 + fetch_s) * S
    (note,) = cold.warnings
    assert (
        note
        == f"decode-0 was lost at 25 s, started at 27 s and loaded its model from the object store in {fetch_s:.3g} s"
    )
    # What moved is what moved without a loss, and the weights.
    quiet = replayed(tmp_path, "", cache="none")
    assert cold.summary.fabric.vpc.bytes == quiet.summary.fabric.vpc.bytes + weight_bytes()
    assert cold.summary.fabric.vpc.links["card_in"].bytes == weight_bytes()


def test_cold_loads_share_the_bucket_and_one_lost_again_while_it_loads_leaves_it_to_the_other(tmp_path: Path) -> None:
    fetch_s = weight_bytes() / 2.5e9
    both = "schedule:\n- {at: 2s, worker: decode-0, for: 1s}\n- {at: 2s, worker: prefill-0, for: 1s}\n"
    shared = replayed(tmp_path, both, cache="none")
    assert shared.records.decode_started_ns[1] / S == pytest.approx(3 + 2 * fetch_s, rel=1e-3)
    again = both + f"- {{at: {3 + fetch_s}s, worker: prefill-0, for: 400s}}\n"
    alone = replayed(tmp_path, again, cache="none")
    # Half of it was there when the other was lost.
    assert alone.records.decode_started_ns[1] / S == pytest.approx(3 + 1.5 * fetch_s, rel=1e-3)
    assert alone.warnings[-1].endswith("was not ready again before the end")


def roll_out(*changes: tuple[int, str]) -> str:
    lines = "".join(f"- {{at: {at_s}s, worker: all, model: {version}}}\n" for at_s, version in changes)
    return f"schedule:\n{lines}"


def test_a_roll_out_costs_no_request_a_retry_and_a_version_is_fetched_once_as_long_as_it_is_kept(
    tmp_path: Path,
) -> None:
    """v1 and v2 in turn, over three instances each time; every instance loads, the pool fetches what it lacks."""
    quiet, weights = replayed(tmp_path, "", gap_s=200), weight_bytes()
    there_and_back = roll_out((10, "v2"), (700, "v3"), (1400, "v2"))
    for num_kept, num_fetched in ((3, 2), (2, 2), (1, 3)):
        rolled = replayed(tmp_path, there_and_back, gap_s=200, cache_weight_versions=num_kept)
        assert rolled.summary.requests.finished == 10
        assert rolled.summary.requests.retried == 0
        assert rolled.summary.fabric.vpc.bytes == num_fetched * weights
        assert rolled.summary.fabric.ub.bytes == quiet.summary.fabric.ub.bytes + 3 * 3 * weights
        assert len(rolled.warnings) == 9
        assert sum("to which it was fetched first" in note for note in rolled.warnings) == num_fetched
    local = replayed(tmp_path, there_and_back, gap_s=400, cache="local")
    # The DRAM of an instance's own nodes keeps one version.
    assert local.summary.fabric.vpc.bytes == 9 * weights


def test_nobody_decodes_between_draining_and_the_last_byte(tmp_path: Path) -> None:
    # The second prompt is there at 10 s; the only decode instance finishes it, and the third waits for the weights.
    rolled = replayed(tmp_path, "schedule:\n- {at: 10.1s, worker: decode-0, model: v2}\n")
    records, fetch_s = rolled.records, weight_bytes() / 2.5e9
    drained_s = records.ended_ns[1] / S
    assert drained_s > 10.1
    assert records.retries.sum() == 0
    assert records.decode_started_ns[2] / S == pytest.approx(drained_s + fetch_s, rel=2e-3)
    assert rolled.warnings[0].startswith(f"decode-0 gave up its model for v2 at {drained_s:,.5g} s")


def test_weights_that_a_lost_server_had_are_fetched_anew(tmp_path: Path) -> None:
    text = "schedule:\n- {at: 12s, worker: cache/7, for: 1s}\n- {at: 25s, worker: prefill-0, for: 1s}\n"
    lost = replayed(tmp_path, text)
    assert lost.summary.fabric.vpc.bytes == pytest.approx(weight_bytes() / 48, rel=1e-5)
    assert "to which it was fetched first" in lost.warnings[1]


def test_no_run_goes_on_for_a_load_that_nobody_needs(tmp_path: Path) -> None:
    quiet = replayed(tmp_path, "", cache="none")
    lost = replayed(tmp_path, "schedule:\n- {at: 85s, worker: prefill-0, for: 1s}\n", cache="none")
    assert lost.records.ended_ns.max() == quiet.records.ended_ns.max()
    # As long a run draws as much.
    assert lost.summary.energy.joules == pytest.approx(quiet.summary.energy.joules, rel=1e-6)


def test_nothing_of_the_account_of_an_idle_instance_is_lost(tmp_path: Path) -> None:
    quiet = replayed(tmp_path, "")
    # Between two requests, so that nothing begins again.
    lost = replayed(tmp_path, "schedule:\n- {at: 25s, worker: prefill-0, for: 1s}\n")
    assert lost.summary.requests.retried == 0
    assert lost.summary.energy.joules == pytest.approx(quiet.summary.energy.joules, rel=1e-6)
