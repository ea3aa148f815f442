"""Exercise: a routing policy in one file is known everywhere, and one that reads what it did not declare is told so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.metrics.live.decisions import decision_series
from scheduler.policies import ROUTING
from tests.exercises.one_file import DEMO, add_file, run

Captured = pytest.CaptureFixture[str]

FEW = ("--limit", "40", "--plan", "2x16p+2x16d+4c", "--json")

CARELESS = """
from scheduler.policies.view import Reads

class Careless:
    reads = Reads.REQUEST

    def choose(self, stage, request):
        return stage.running_requests.index(0)
"""


@pytest.fixture(autouse=True)
def _added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    decision_series.cache_clear()
    add_file("least_running", "scheduler.policies.routing", ROUTING, tmp_path, monkeypatch)
    yield
    decision_series.cache_clear()


def test_it_is_listed_with_formula_source_and_options(capsys: Captured) -> None:
    _, out, _ = run(capsys, "policies")
    assert (
        "least_running (prefill and decode)\n  min running + outstanding_weight * outstanding requests\n"
        "  source: the exercise of CONTRIBUTING.md\n  options: outstanding_weight=0.5\n"
    ) in out
    _, out, _ = run(capsys, "policies", "--json")
    listed = {row["name"]: row for row in json.loads(out)}
    assert listed["least_running"]["options"] == {"outstanding_weight": 0.5}
    assert ("prefill", "least_running", "fewest requests that run or wait to") in decision_series()


def test_it_chooses_in_a_replay_and_is_compared(tmp_path: Path, capsys: Captured) -> None:
    policy = ("--policy", "least_running:outstanding_weight=2")
    code, out, err = run(capsys, "replay", DEMO, *FEW, *policy, "--out", tmp_path / "run")
    assert code == 0, err
    assert json.loads(out)["requests"]["finished"] == 40
    _, out, _ = run(capsys, "explain", 7, tmp_path / "run")
    assert "least_running: fewest requests that run or wait to" in out
    code, out, err = run(
        capsys, "compare", "--policy", "least_running,least_loaded", "--trace", DEMO, *FEW, "--jobs", "1"
    )
    assert code == 0, err
    assert "least_running" in out


@pytest.mark.parametrize(
    ("policy", "hint"),
    [
        ("least_runing", "--policy: unknown value 'least_runing'; did you mean least_running? known: aibrix_pd"),
        ("least_running:weight=1", "--policy: least_running: unknown option 'weight'; "),
        ("least_running:outstanding_weight=x", "--policy: least_running: option outstanding_weight=x is not a number"),
    ],
)
def test_slips_are_told_with_what_is_known(policy: str, hint: str, capsys: Captured) -> None:
    code, _, err = run(capsys, "replay", DEMO, "--policy", policy)
    assert code == 2
    assert err.startswith(f"supernode: {hint}")


@pytest.mark.parametrize("cache", ["pool", "local"])
def test_a_read_that_is_not_declared_ends_the_run_with_one_line(tmp_path: Path, cache: str, capsys: Captured) -> None:
    own = tmp_path / "mine.py"
    own.write_text(CARELESS, encoding="utf-8")
    code, out, err = run(capsys, "replay", DEMO, *FEW, "--cache", cache, "--policy", f"{own}:Careless")
    assert (code, out) == (2, "")
    assert err == (
        f"supernode: policy {own}:Careless reads stage.running_requests and does not declare it; "
        "write reads = Reads.REQUEST | Reads.REPORTS in its class\n"
    )
