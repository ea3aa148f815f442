"""Every output option works with every kind of policy, and none changes what comes of the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.cli import main

ROOT = Path(__file__).parents[3]
DEMO = str(ROOT / "examples" / "demo.jsonl")

OWN = """
from beside import least

class Own:
    '''A policy with an option, and scores.'''
    def __init__(self, weight: float = 1.0):
        self.weight = weight
    def choose(self, stage, request):
        return least(self.scores(stage, request))
    def scores(self, stage, request):
        return [self.weight * tokens for tokens in stage.outstanding_tokens]

class Short:
    def __init__(self, most: int = 2000):
        self.most = most
    def admits(self, request, view):
        return request.num_tokens <= self.most

class Longest:
    def key(self, request):
        return -request.num_tokens
"""
BESIDE = "def least(column):\n    return list(column).index(min(column))\n"

POLICIES = {
    "by load": ("--policy", "least_loaded"),
    "with options": ("--policy", "cache_aware:balance_abs=4,balance_rel=1.5"),
    "predicting": ("--policy", "mooncake"),
    "pairs": ("--policy", "aibrix_pd:k_sigma=2"),
    "own": ("--policy", "own.py:Own"),
    "own with options": ("--policy", "own.py:Own:weight=2"),
    "own of all kinds": (
        "--policy",
        "own.py:Own",
        "--admission",
        "own.py:Short:most=3000",
        "--order",
        "own.py:Longest",
    ),
}
OUTPUTS = {
    "out": ("--out", "run"),
    "journal": ("--journal", "run.journal"),
    "openmetrics": ("--openmetrics", "scrapes.txt"),
    "all": ("--out", "run", "--journal", "run.journal", "--openmetrics", "scrapes.txt"),
}


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN)
    Path("beside.py").write_text(BESIDE)


def replay(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, object]:
    assert main(["replay", DEMO, "--limit", "60", "--rate-scale", "20", "--json", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["policy_failures"]["total"] == 0
    return {key: value for key, value in found.items() if key != "wall_s"}


@pytest.mark.parametrize("policy", POLICIES)
def test_each_output_is_written_and_changes_nothing(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    plain = replay(capsys, *POLICIES[policy])
    for output in OUTPUTS:
        assert replay(capsys, *POLICIES[policy], *OUTPUTS[output]) == plain, output
    summary = json.loads(Path("run/summary.json").read_text())
    assert {key: value for key, value in summary.items() if key != "wall_s"} == plain
    assert Path("scrapes.txt").read_text().endswith("# EOF\n")
    assert main(["explain", "7", "run"]) == 0
    assert main(["explain", "--slowest", "2", "run", "--json"]) == 0
    assert main(["report", "run"]) == 0
    code = [one for own in POLICIES[policy][1::2] if ".py:" in own for one in ("--policy", own)]
    assert main(["journal", "replay", "run.journal", *code]) == 0


def test_policies_of_all_kinds_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    policies = ",".join(options[1] for name, options in POLICIES.items() if name != "own of all kinds")
    assert main(["compare", "--trace", DEMO, "--limit", "40", "--policy", policies, "--jobs", "1", "--json"]) == 0
    variants = json.loads(capsys.readouterr().out)["variants"]
    assert [one["name"] for one in variants] == [
        options[1] for name, options in POLICIES.items() if name != "own of all kinds"
    ]
    assert all(one["run"]["requests"]["finished"] == 40 for one in variants)


def test_own_admission_and_order_decide(capsys: pytest.CaptureFixture[str]) -> None:
    found = replay(capsys, "--admission", "own.py:Short:most=1500", "--cache", "none", "--out", "run")
    rows = [line.split(",") for line in Path("run/requests.csv").read_text().splitlines()]
    tokens, reason = rows[0].index("prompt_tokens"), rows[0].index("finish_reason")
    assert {int(row[tokens]) > 1500 for row in rows[1:] if row[reason] == "admission"} == {True}
    assert {int(row[tokens]) > 1500 for row in rows[1:] if row[reason] == "stop"} == {False}
    assert found["requests"] != replay(capsys, "--cache", "none")["requests"]
