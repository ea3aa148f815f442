"""Code of a user's own in the control plane of a live run: every output is written, and what it does wrong is held."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
PROGRAM = "import sys; from deploy.cli import main; sys.exit(main())"
OWN = """
from beside import least

class Own:
    def __init__(self, weight: float = 1.0):
        self.weight = weight
    def choose(self, stage, request):
        return least([self.weight * tokens for tokens in stage.outstanding_tokens])

class Writes:
    def admits(self, request, view):
        request.num_tokens = 0

class Longest:
    def key(self, request):
        return -request.num_tokens

class Loops:
    def choose(self, stage, request):
        while True:
            pass
"""
OWN_OF_ALL_KINDS = (
    "--policy", "own.py:Own:weight=2", "--admission", "own.py:Writes", "--order", "own.py:Longest",
)  # fmt: skip


def supernode(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "own.py").write_text(OWN)
    (folder / "beside.py").write_text("def least(column):\n    return column.index(min(column))\n")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def live(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    trace = str(ROOT / "examples" / "demo.jsonl")
    small = ["--plan", "2x16p+1x16d", "--cache", "none", "--limit", "20", "--speed", "5"]
    return supernode(folder, "replay", trace, "--live", *small, *options)


def test_all_kinds_with_all_outputs(tmp_path: Path) -> None:
    done = live(tmp_path, *OWN_OF_ALL_KINDS, "--out", "run", "--journal", "run.journal", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["requests"]["finished"] == 20
    failures = result["policy_failures"]
    assert (failures["total"], failures["admission"]["count"]) == (20, 20)
    assert failures["admission"]["first_error"].startswith("own.py:12: AttributeError: num_tokens cannot be written")
    explained = json.loads(supernode(tmp_path, "explain", "--slowest", "1", "run", "--json").stdout)
    assert any(event.get("weighed") for event in explained[0]["events"])
    given = [one for name in ("Own", "Writes", "Longest") for one in ("--policy", f"own.py:{name}")]
    replayed = supernode(tmp_path, "journal", "replay", "run.journal", *given, "--json")
    assert json.loads(replayed.stdout)["same"] is True, replayed.stderr


def test_one_that_never_returns_ends_the_run_with_its_line(tmp_path: Path) -> None:
    done = live(tmp_path, "--policy", "own.py:Loops")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(
        "supernode: policy own.py:Loops has not returned from a call for 10 s, it was at own.py:2"
    )
