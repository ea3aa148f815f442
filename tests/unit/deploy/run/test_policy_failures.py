"""A policy that fails does not pass for one that works, wherever its figures are shown; nor can it change them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import main

ROOT = Path(__file__).parents[4]
DEMO = str(ROOT / "examples" / "demo.jsonl")
OWN = """
import signal, sys

class Sorts:
    def choose(self, stage, request):
        stage.outstanding_tokens.sort()
        return 0

class Writes:
    def choose(self, stage, request):
        request.num_tokens = 0
        return 0

class Nothing:
    def choose(self, stage, request):
        pass

class Exits:
    def choose(self, stage, request):
        print("on stdout")
        sys.exit(7)

class Loops:
    def choose(self, stage, request):
        signal.raise_signal(signal.SIGINT)
        while True:
            pass

class Admits:
    def admits(self, request, view):
        request.num_tokens = 0

class Orders:
    def key(self, request):
        return request.no_such_field
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN)


def replay(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any], str]:
    code = main(["replay", DEMO, "--limit", "120", "--rate-scale", "20", "--json", *arguments])
    out, err = capsys.readouterr()
    return code, json.loads(out), err


WANTED = [
    ("Sorts", "own.py:6: AttributeError: 'tuple' object has no attribute 'sort'"),
    ("Writes", "own.py:11: AttributeError: num_tokens cannot be written: a policy reads its views and returns its"),
    ("Nothing", "own.py:15: choose() returned None; return an index from 0 to 13"),
    ("Exits", "own.py:21: SystemExit: 7"),
]


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(("name", "told"), WANTED)
def test_it_is_counted_and_its_requests_go_where_least_is_outstanding(
    name: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found, err = replay(capsys, "--policy", f"own.py:{name}", "--fail-if", "policy_failures.total>0")
    failures = found["policy_failures"]
    assert code == 1
    assert "bound broken: fail-if policy_failures.total>0" in err
    assert failures["total"] == failures["prefill"]["count"] + failures["decode"]["count"] == 240
    assert failures["prefill"]["first_error"].startswith(told)
    assert f"the prefill policy failed 120 times, first: {told}" in err
    # The fallback is cloudmatrix's rule, so that whatever the class wrote has changed nothing.
    _, usual, _ = replay(capsys, "--policy", "cloudmatrix")
    none = {"count": 0, "first_error": None}
    kinds = ("prefill", "decode", "admission", "order")
    assert usual["policy_failures"] == {"total": 0, **dict.fromkeys(kinds, none)}
    differing = {"wall_s", "config_digest", "policy_failures"}
    assert {key for key in usual if usual[key] != found.get(key)} <= differing


@pytest.mark.usefixtures("own")
def test_admission_lets_in_and_order_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    code, found, _ = replay(capsys, "--admission", "own.py:Admits", "--order", "own.py:Orders")
    assert code == 0
    assert found["requests"]["finished"] == 120
    failures = found["policy_failures"]
    assert (failures["admission"]["count"], failures["order"]["count"]) == (120, 120)
    assert failures["admission"]["first_error"].startswith("own.py:31: AttributeError: num_tokens cannot be written")
    assert failures["order"]["first_error"].startswith("own.py:35: AttributeError: ")


@pytest.mark.usefixtures("own")
def test_ctrl_c_breaks_off_the_call_and_leaves_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    code, found, err = replay(capsys, "--policy", "own.py:Loops")
    assert code == 130
    assert found["partial"] is True
    assert found["policy_failures"]["total"] == 0
    assert "interrupted" in err


@pytest.mark.usefixtures("own")
def test_table_report_and_comparison_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", DEMO, "--limit", "30", "--policy", "own.py:Nothing", "--out", "run"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert "policy own.py:Nothing (FAILED: prefill 30 times, decode 30 times; a fallback decided)" in first
    assert main(["report", "run"]) == 0
    assert "the prefill policy failed 30 times, first: own.py:15: choose() returned None" in Path(
        "run/report.html"
    ).read_text(encoding="utf-8")
    assert main(["replay", DEMO, "--limit", "30", "--out", "other"]) == 0
    assert main(["report", "run", "other", "--output", "both.html"]) == 0
    assert "run: the prefill policy failed 30 times, first: own.py:15: choose()" in Path("both.html").read_text("utf-8")
    capsys.readouterr()
    assert main(["compare", "--trace", DEMO, "--limit", "30", "--policy", "random,own.py:Nothing", "--jobs", "1"]) == 0
    out, err = capsys.readouterr()
    assert "POLICY FAILED" in out
    assert re.search(r"own\.py:Nothing +60 times", out)
    assert re.search(r"random +- ", out)
    assert "own.py:Nothing: the prefill policy failed 30 times, first: own.py:15: choose() returned None" in err


def test_a_comparison_without_failures_has_no_such_column(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--policy", "random,cache_aware:balance_abs=4,balance_rel=1.1", "--jobs", "1"]
    assert main(["compare", "--trace", DEMO, "--limit", "30", *options]) == 0
    out = capsys.readouterr().out
    assert "FAILED" not in out
    assert "cache_aware:balance_abs=4,balance_rel=1.1" in out
