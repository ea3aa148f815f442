"""The profile in whole runs: when it is made, what it is good for, and that it changes nobody else's run."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.run.journal_replay import CoreOfJournal
from deploy.run.profile_run import measured_instances, needs_profile, profile_virtual
from deploy.run.replay import ReplayJob, ReplayResult, replay_virtual
from deploy.settings.settings import Settings
from deploy.settings.shipped_examples import find_input
from deploy.system.blueprint import Blueprint
from scheduler.policies.view import StageKind
from scheduler.protocol.messages import InstanceProfiled, PrefillStepped, RequestsArrived
from scheduler.runtime.journal import read_journal
from scheduler.runtime.journal import replay as replay_journal
from scheduler.sources.traces.options import TraceOptions

DEMO = find_input("examples/demo.jsonl")


def run(tmp_path: Path, **settings: object) -> ReplayResult:
    """The beginning of the demo, with a journal."""
    config = Settings.from_plain(settings)
    return replay_virtual(ReplayJob(DEMO, TraceOptions(limit=60), config, str(tmp_path / "j"), keeps_log=True))


def test_it_is_made_where_times_are_predicted_and_it_is_not_turned_off() -> None:
    def needs(**settings: object) -> bool:
        blueprint = Blueprint(Settings.from_plain(settings), 512)
        return needs_profile(blueprint, blueprint.make_core().routing)

    assert needs(policy="mooncake")
    assert needs(admission="slo_early_reject", slo="ttft=2s")
    assert not needs()
    assert not needs(policy="mooncake", startup_profile=False)


def test_one_instance_of_each_kind_and_size_is_measured() -> None:
    blueprint = Blueprint(Settings.from_plain({"plan": "2x16p+1x32p+1x160d+48c"}), 512)
    assert [one.address for one in measured_instances(blueprint)] == ["prefill-0", "prefill-2", "decode-0"]
    found = profile_virtual(blueprint)
    assert [one.instance for one in found] == ["prefill-0", "prefill-2", "decode-0"]
    # Twice as many NPUs take about half as long.
    assert found[1].taken_ns[11] / found[0].taken_ns[11] == pytest.approx(0.5, rel=0.3)


def test_the_first_request_is_predicted_from_it_and_says_so(tmp_path: Path) -> None:
    result = run(tmp_path, policy="mooncake")
    assert result.log is not None
    first, *_ = [reason for reason in result.log.decided.reasons(StageKind.PREFILL) if reason]
    assert first == "mooncake: least predicted time; times of prefill-0's start-up profile, 0 s old, and 0 reports"
    assert result.prediction is not None
    assert abs(result.prediction.ttft_bias) < 0.1
    # The core heard of it before anything else, and its journal gives the same commands again.
    header, entries = read_journal(tmp_path / "j")
    kinds = [type(entry.message) for entry in entries]
    assert kinds[:2] == [InstanceProfiled] * 2
    assert kinds.index(InstanceProfiled) < kinds.index(RequestsArrived) < kinds.index(PrefillStepped)
    assert replay_journal(tmp_path / "j", CoreOfJournal()).same
    assert header.config["startup_profile"]


def test_without_it_a_decision_says_how_little_is_known(tmp_path: Path) -> None:
    result = run(tmp_path, policy="mooncake", startup_profile=False)
    assert result.log is not None
    assert "mooncake: least predicted time; times learned from 0 reports" in result.log.decided.reasons(
        StageKind.PREFILL
    )


def test_early_rejection_judges_from_the_first_request_on(tmp_path: Path) -> None:
    # No prompt of this trace can be computed in a millisecond: with a profile nobody comes in.
    settings = {"admission": "slo_early_reject", "slo": "ttft=1ms"}
    assert run(tmp_path, **settings).summary.requests.rejected == 60
    assert 0 < run(tmp_path, **settings, startup_profile=False).summary.requests.rejected < 60


@pytest.mark.parametrize("cache", ["pool", "local", "none"])
def test_it_is_made_wherever_prefixes_are_kept(cache: str) -> None:
    found = profile_virtual(Blueprint(Settings.from_plain({"cache": cache}), 512))
    assert [len(one.taken_ns) >= 16 for one in found] == [True, True]
    # A cache of an instance's own has nothing of what was never asked of it.
    assert any(found[0].cached_tokens) == (cache != "local")
