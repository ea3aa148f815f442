"""`supernode replay --faults`: what breaks is accounted for, and no run goes on for its sake."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import main

DEMO = str(Path(__file__).parents[4] / "examples" / "demo.jsonl")
SMALL = (DEMO, "--limit", "60", "--plan", "2x16p+1x16d+2c", "--json")
Replay = Callable[..., dict[str, Any]]


@pytest.fixture
def replay(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Replay:
    """Runs the demo with these faults; answers its JSON."""

    def call(faults: str = "", *more: str) -> dict[str, Any]:
        path = tmp_path / "faults.yaml"
        path.write_text(faults)
        assert main(["replay", *SMALL, *(["--faults", str(path)] if faults else []), *more]) == 0
        document = json.loads(capsys.readouterr().out)
        del document["wall_s"]
        return document

    return call


def test_what_breaks_after_the_last_request_changes_nothing(replay: Replay) -> None:
    late = "schedule:\n- {at: 500s, part: l2/3/7}\n- {at: 600s, part: ub/1, for: 9h}\n"
    assert replay(late) == replay()


def test_lost_capacity_is_accounted_for(replay: Replay) -> None:
    found = replay("schedule:\n- {at: 1s, part: l2/3/7, for: 2s}\n- {at: 2s, part: node/0/vpc}\n")
    span_s = found["simulated_s"]
    assert found["fabric"]["ub"]["availability"] == pytest.approx(1 - 2 / span_s / 112)
    assert found["fabric"]["vpc"]["availability"] == pytest.approx(1 - (span_s - 2) / span_s / 48)
    assert found["fabric"]["rdma"]["availability"] == 1
    assert found["requests"]["finished"] == 60


def test_requests_that_are_cut_off_wait_for_the_repair(replay: Replay) -> None:
    found = replay("schedule:\n- {at: 2s, part: leaf/1, for: 30s}\n")  # the decode instance's
    assert found["requests"]["finished"] == 60
    assert found["e2e_s"]["max"] > replay()["e2e_s"]["max"] + 10


def test_random_faults_are_those_of_the_seed_and_do_not_keep_a_run_from_ending(replay: Replay) -> None:
    rates = "rates:\n  nic: {mean_time_between_failures: 20min, mean_time_to_repair: 2s}\n"
    first, again, other = replay(rates), replay(rates), replay(rates, "--seed", "1")
    assert first == again
    assert first["fabric"]["rdma"]["availability"] != other["fabric"]["rdma"]["availability"]
    assert 0.9 < first["fabric"]["rdma"]["availability"] < 1
    assert first["requests"]["finished"] == 60


def test_a_fault_that_leaves_requests_nowhere_to_go_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text("schedule:\n- {at: 2s, part: leaf/1}\n")
    assert main(["replay", *SMALL, "--faults", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "requests open: nothing reaches them while leaf/1 stays broken; have it repaired" in line


def test_a_run_with_faults_replays_from_its_journal(replay: Replay, tmp_path: Path) -> None:
    journal = str(tmp_path / "journal")
    replay("schedule:\n- {at: 2s, part: leaf/1, for: 3s}\n", "--journal", journal)
    assert main(["journal", "replay", journal]) == 0
