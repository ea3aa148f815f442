"""A run with another choice is that run, and what the choice cost is what the two differ by."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from deploy.cli import main
from deploy.regret.counterfactuals import E2E, TTFT, Sampling, Tried, follow, run_asked
from deploy.regret.overridden import AskedPolicies, Override
from deploy.regret.regret import Regret, judge, regrets_of
from deploy.run.replay import ReplayJob, ReplayResult, replay_virtual
from deploy.settings.load import load_settings
from scheduler.metrics.record_columns import record_columns
from scheduler.policies.view import StageKind
from scheduler.sources.traces.options import TraceOptions

DEMO = str(Path(__file__).parents[4] / "examples" / "demo.jsonl")


def sampling(policy: str, trace: str = DEMO, num: int = 4, horizon: int = 50, limit: int = 120) -> Sampling:
    """On a small system with a choice at either stage."""
    settings = load_settings(None, {"policy": policy, "plan": "3x16p+2x32d+8c", "slo": "ttft=200ms,tpot=50ms"})
    return Sampling(trace, TraceOptions(limit=limit, rate_scale=10.0), settings, num, horizon)


def columns_of(result: ReplayResult) -> dict[str, bytes]:
    """All that a run says of its requests."""
    columns = record_columns(result.records, result.prefill_addresses, result.decode_addresses, result.class_names)
    return {name: column.tobytes() for name, column in columns.items()}


@pytest.mark.parametrize("policy", ["cloudmatrix", "random", "mooncake", "aibrix_pd"])
def test_a_run_that_is_asked_is_the_run_and_so_is_one_with_the_same_choice(policy: str) -> None:
    of = sampling(policy)
    plain = columns_of(replay_virtual(ReplayJob(of.trace, of.options, of.settings)))
    asked = AskedPolicies()
    assert columns_of(run_asked(of, asked)) == plain
    num_calls = {stage: len(calls) for stage, calls in asked.calls.items()}
    assert num_calls[StageKind.PREFILL] == 120
    for stage in StageKind:
        if num_calls[stage]:
            same = Override(stage, num_calls[stage] // 2, asked.calls[stage][num_calls[stage] // 2].place)
            assert columns_of(run_asked(of, AskedPolicies(same))) == plain


@pytest.mark.parametrize("stage", StageKind)
def test_before_the_other_choice_nothing_changes_and_there_it_is_made(stage: StageKind) -> None:
    of, asked, call = sampling("random"), AskedPolicies(), 60
    run_asked(of, asked)
    place = (asked.calls[stage][call].place + 1) % asked.calls[stage][call].num_places
    other = AskedPolicies(Override(stage, call, place))
    run_asked(of, other)
    assert other.calls[stage][:call] == asked.calls[stage][:call]
    changed, usual = other.calls[stage][call].decision, asked.calls[stage][call].decision
    assert changed is not None
    assert usual is not None
    assert (changed.instance, changed.reason.partition(",")[0]) == (place, "another choice")
    assert usual.instance != place
    assert usual.reason == "random: drawn uniformly"


@pytest.fixture
def short_behind_long(tmp_path: Path) -> str:
    """A long prompt, and two short ones soon after: in turn among three instances, the fourth meets the long one."""
    path = tmp_path / "trace.jsonl"
    lengths = [60_000, 500, 500, 500]
    rows = [{"timestamp": at, "input_length": length, "output_length": 8} for at, length in enumerate(lengths)]
    path.write_text("".join(json.dumps({**row, "hash_ids": []}) + "\n" for row in rows))
    return str(path)


def test_where_the_best_choice_is_known_it_is_found_and_its_worth_is_exact(short_behind_long: str) -> None:
    of = sampling("round_robin", short_behind_long, num=30, horizon=1)
    (fourth,) = (one for one in follow(of).sampled if one.stage is StageKind.PREFILL and one.request_id == 3)
    assert fourth.instance == "prefill-0"
    (regret,) = regrets_of([of], 1)
    (worst,) = (one for one in regret.worst[:1])
    assert (worst.sampled.request_id, worst.sampled.stage) == (3, StageKind.PREFILL)
    # A policy that never sends it behind the long one finds the same world.
    best = sampling("cloudmatrix", short_behind_long, num=30, horizon=1)
    free = replay_virtual(ReplayJob(best.trace, best.options, best.settings)).records
    own = replay_virtual(ReplayJob(of.trace, of.options, of.settings)).records
    at = fourth.ids.tolist().index(3)
    assert fourth.costs[TTFT][at] == own.ttft_s[3]
    lost_s = float((own.ttft_s - free.ttft_s)[fourth.ids].mean())
    assert lost_s > 0
    assert worst.regret[TTFT] == pytest.approx(lost_s)
    (none,) = regrets_of([best], 1)
    assert none.regret[TTFT].mean < regret.regret[TTFT].mean


def test_costs_count_over_those_that_were_open_and_those_that_came_next() -> None:
    of = sampling("random", num=8, horizon=10)
    records = replay_virtual(ReplayJob(of.trace, of.options, of.settings)).records
    followed = follow(of)
    assert followed.num_decisions == 240
    assert len(followed.sampled) == 8
    assert {one.stage for one in followed.sampled} == set(StageKind)
    for one in followed.sampled:
        assert one.request_id in one.ids
        assert one.ids.max() == min(119, one.request_id + 9)
        earlier = one.ids[one.ids < one.request_id]
        assert (records.ended_ns[earlier] > one.arrived_ns).all()
        gone = np.setdiff1d(np.arange(one.request_id), earlier)
        assert (records.ended_ns[gone] <= one.arrived_ns).all()


def test_regret_is_what_the_best_other_gains_and_nothing_where_none_does() -> None:
    one = follow(sampling("random", num=2)).sampled[0]
    better = Tried("decode-7", {**one.costs, E2E: one.costs[E2E] - 0.25})
    worse = Tried("decode-8", {**one.costs, E2E: one.costs[E2E] + 0.75})
    judged = judge(one, [worse, better])
    assert judged.best == "decode-7"
    assert judged.regret == pytest.approx({E2E: 0.25, TTFT: 0.0, "slo.attainment": 0.0})
    assert judged.spread[E2E] == pytest.approx(0.25)
    assert judge(one, [worse]).regret[E2E] == 0


def test_the_same_seed_has_the_same_regret_and_json_and_page_tell_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    of = sampling("random", num=3)
    told: list[Regret] = [*regrets_of([of], 1), *regrets_of([of], 1)]
    assert told[0].to_json() == told[1].to_json()
    arguments = ["--trace", DEMO, "--limit", "60", "--rate-scale", "10", "--jobs", "1", "--regret", "2"]
    plan = ["--plan", "2x16p+1x64d+8c", "--policy", "random,cloudmatrix"]
    assert main(["compare", *arguments, *plan, "--json", "--horizon", "20"]) == 0
    for variant in json.loads(capsys.readouterr().out)["variants"]:
        regret = variant["regret"]
        assert (regret["decisions"], regret["sampled"], regret["horizon_requests"]) == (60, 2, 20)
        assert set(regret["figures"]) == {TTFT, E2E}
        assert regret["figures"][TTFT]["regret"]["mean"] >= 0
    assert main(["compare", *arguments, *plan]) == 0
    page = capsys.readouterr().out
    assert "Regret over the next 100 requests" in page
    # Where only one instance is left to choose there is nothing to regret.
    assert main(["compare", *arguments, "--plan", "1x16p+1x64d+8c"]) == 0
    assert "regret not known, 0 decisions had a choice" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--regret", "1"], "--regret is 1; give a number of decisions from 2 to 30"),
        (["--horizon", "10"], "--horizon is of --regret N; give that too, or leave it out"),
        (["--regret", "4", "--horizon", "0"], "--horizon is 0; give a number of requests, at least 1"),
        (["--regret", "4", "--concurrency", "8"], "--regret compares requests one by one, and clients that wait"),
    ],
)
def test_what_cannot_be_sampled_is_said(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--trace", DEMO, *arguments]) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
