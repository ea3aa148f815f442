"""One request's life: in order, with reasons, the same as the records say, also when it was requeued."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from deploy.cli import main
from deploy.report.life import Life, life_of, render_life
from deploy.report.waterfall import stretches
from deploy.run_folder.read import RunFolder, ScalingChange, open_run
from scheduler.metrics.outcome.collector import PREEMPTED_ROW
from tests.unit.deploy.run_folder.made import NUM_REQUESTS, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that nobody changes."""
    return open_run(str(make_run(tmp_path_factory.mktemp("run"))))


def times(life: Life) -> dict[str, int]:
    """Of each event."""
    return {one.event: one.at_ns for one in life.events}


def test_lives_agree_with_the_records_and_with_the_waterfall(run: RunFolder) -> None:
    numbers = run.requests.numbers
    for request_id in range(NUM_REQUESTS):
        life = life_of(run, str(request_id))
        at_ns = times(life)
        assert [one.at_ns for one in life.events] == sorted(one.at_ns for one in life.events)
        assert at_ns["arrived at the gateway"] == numbers["arrived_ns"][request_id]
        assert at_ns["first token"] == numbers["first_token_ns"][request_id]
        assert at_ns[f"ended: {life.finish_reason}"] == numbers["ended_ns"][request_id]
        chosen = next(one for one in life.events if one.event == "prefill instance chosen")
        assert (chosen.where, chosen.why) == (
            run.requests.texts["prefill_instance"][request_id],
            "cloudmatrix: fewest outstanding tokens",
        )
        bars = stretches(run, request_id)
        assert bars[0].begin_s == 0
        assert all(one.end_s == pytest.approx(other.begin_s) for one, other in pairwise(bars))
        assert bars[-1].end_s == pytest.approx(numbers["e2e_s"][request_id])
        if "cached KV fetched" in at_ns:
            (fetch,) = (bar for bar in bars if bar.stage == "fetching cached KV")
            assert fetch.end_s * 1e9 == pytest.approx(at_ns["cached KV fetched"] - at_ns["arrived at the gateway"])


def test_a_change_of_the_fleet_is_told_to_whoever_was_there_with_its_reason(run: RunFolder) -> None:
    at_ns = int(run.requests.numbers["first_token_ns"][5]) + 1
    again = RunFolder(run.path, run.run, run.summary)
    again.scalings.append(ScalingChange(at_ns, {"prefill": 13}, "sla: few tokens", {"drained": ["prefill-3"]}))
    told = [(one.at_ns, one.where, one.why) for one in life_of(again, "5").events if one.event == "fleet scaled"]
    assert told == [(at_ns, "drained prefill-3", "sla: few tokens")]
    last = str(NUM_REQUESTS - 1)
    assert run.requests.numbers["arrived_ns"][NUM_REQUESTS - 1] > at_ns
    assert "fleet scaled" not in times(life_of(again, last))


def test_preemptions_and_losses_are_told(run: RunFolder) -> None:
    at_ns = int(run.requests.numbers["decode_started_ns"][5]) + 1
    again = RunFolder(run.path, run.run, run.summary)
    preempted = np.array([(5, at_ns, 0)], PREEMPTED_ROW)
    again.__dict__["decisions"] = {**run.decisions, "preempted": preempted}
    again.losses.append((at_ns, ("prefill-3",)))
    numbers = {**run.requests.numbers, "retries": np.ones(NUM_REQUESTS)}
    again.__dict__["requests"] = replace(run.requests, numbers=numbers)
    events = life_of(again, "5").events
    assert [(one.event, one.where) for one in events if one.at_ns == at_ns] == [
        ("preempted", "decode-0"),
        ("workers lost", "prefill-3"),
    ]
    assert "workers lost" in render_life(life_of(again, "5"))


def test_the_command_tells_it_as_a_table_and_as_json(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "7", str(run.path)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].startswith("Request 7: ")
    assert table[2].split() == ["at", "since", "arrival", "event", "where", "why"]
    assert main(["explain", "7", str(run.path), "--json"]) == 0
    life = json.loads(capsys.readouterr().out)
    weighed = [one for event in life["events"] for one in event.get("weighed", ())]
    assert len(life["events"]) + len(weighed) == len(table) - 3
    assert len(weighed) >= 3  # two prefill instances and a decode instance at least


@pytest.mark.parametrize("request_id", ["200", "x", "", "\u0663", "1.5", "9" * 400])
def test_an_unknown_id_names_the_range(run: RunFolder, request_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--", request_id, str(Path(run.path))]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "ids go from 0 to 199" in line


def test_each_choice_has_the_numbers_it_was_made_by(tmp_path: Path) -> None:
    run = open_run(str(make_run(tmp_path, "--policy", "lmetric", "--cache", "local", "--rate-scale", "30")))
    waited = 0
    for request_id in range(NUM_REQUESTS):
        life = life_of(run, str(request_id))
        prefill = next(one for one in life.events if one.event == "prefill instance chosen")
        chosen, other = prefill.weighed
        assert chosen.instance == prefill.where != other.instance
        for one in (chosen, other):
            assert one.hit_tokens is not None
            assert one.score == (life.prompt_tokens - one.hit_tokens) * (one.queue_requests + 1)
        assert chosen.score is not None
        assert other.score is not None
        assert chosen.score <= other.score
        waited += chosen.queue_requests > 0
        (decode,) = [one for one in life.events if one.event == "KV transfer began"]
        assert [one.instance for one in decode.weighed] == ["decode-0"]
        assert decode.weighed[0].hit_tokens is None
    assert waited


def test_what_is_too_long_names_the_limit(tmp_path: Path) -> None:
    rows = [{"timestamp": 0, "input_length": tokens, "output_length": 2} for tokens in (100, 10**6)]
    (tmp_path / "long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["replay", str(tmp_path / "long.jsonl"), "--out", str(tmp_path / "run")]) == 0
    run = open_run(str(tmp_path / "run"))
    (told,) = [one.why for one in life_of(run, "1").events if one.event == "ended: too_long"]
    assert told == f"1,000,000 prompt tokens; the longest that all instances hold is {run.max_prompt_tokens:,}"
    rows = [{"timestamp": 0, "input_length": run.max_prompt_tokens + more, "output_length": 2} for more in (0, 1)]
    (tmp_path / "long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["replay", str(tmp_path / "long.jsonl"), "--out", str(tmp_path / "run")]) == 0
    assert open_run(str(tmp_path / "run")).requests.texts["finish_reason"] == ("stop", "too_long")


def test_the_slowest_come_first(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    ttft_s = run.requests.numbers["ttft_s"]
    assert main(["explain", "--slowest", "3", str(run.path), "--json"]) == 0
    lives = json.loads(capsys.readouterr().out)
    found = [ttft_s[life["request_id"]] for life in lives]
    assert found == sorted(ttft_s, reverse=True)[:3]
    for arguments in (["--slowest", "0", str(run.path)], ["--slowest", "2", "1", str(run.path)], [str(run.path)]):
        assert main(["explain", *arguments]) == 2
        assert "slowest" in capsys.readouterr().err
