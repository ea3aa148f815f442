"""One request's life: in order, with reasons, the same as the records say, also when it was requeued."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from deploy.cli import main
from deploy.report.life import Life, life_of, render_life
from deploy.report.waterfall import stretches
from deploy.run_folder.read import RunFolder, open_run
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
    assert len(life["events"]) == len(table) - 3


@pytest.mark.parametrize("request_id", ["200", "x", "", "\u0663", "1.5", "9" * 400])
def test_an_unknown_id_names_the_range(run: RunFolder, request_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--", request_id, str(Path(run.path))]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "ids go from 0 to 199" in line
