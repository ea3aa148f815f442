"""A journal carries no code: it is given again and checked; and another policy can be asked beside the recorded one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import main

ROOT = Path(__file__).parents[4]
DEMO = str(ROOT / "examples" / "demo.jsonl")

OWN = """
from helper import least
from pathlib import Path

Path("ran").touch()

class Least:
    def __init__(self, weight: int = 1):
        self.weight = weight
    def choose(self, stage, request):
        return least(stage.outstanding_tokens)

class Last:
    def choose(self, stage, request):
        return len(stage.outstanding_tokens) - 1

class Short:
    def admits(self, request, view):
        return request.num_tokens < 5000

class Longest:
    def key(self, request):
        return -request.num_tokens
"""
HELPER = """
def least(column):
    return column.index(min(column))
"""
OPTIONS = ("--admission", "own.py:Short", "--order", "own.py:Longest")


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """Of a run with own policies of all three kinds."""
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN)
    Path("helper.py").write_text(HELPER)
    options = ["--limit", "150", "--rate-scale", "20", "--policy", "own.py:Least:weight=2", *OPTIONS]
    assert main(["replay", DEMO, *options, "--journal", "run.journal"]) == 0
    capsys.readouterr()
    Path("ran").unlink()
    return tmp_path


GIVEN = ("--policy", "own.py:Least", "--policy", "own.py:Short", "--policy", "own.py:Longest")


def replayed(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, Any]]:
    code = main(["journal", "replay", "run.journal", *options, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_no_code_is_in_it_and_none_runs(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = (journal / "run.journal").read_bytes()
    assert b"def choose" not in data
    assert b"def least" not in data
    for command in ("check", "replay"):
        main(["journal", command, "run.journal"])
    assert not Path("ran").exists()
    assert capsys.readouterr().err == (
        "supernode: the journal was written with own.py:Least of one's own, and carries no code: "
        "give its file, --policy own.py:Least\n"
    )


def test_the_same_files_give_the_same_commands_wherever_they_are(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replayed(capsys, *GIVEN)[1]["same"] is True
    (journal / "elsewhere").mkdir()
    for name in ("own.py", "helper.py"):
        (journal / name).rename(journal / "elsewhere" / name)
    moved = [one.replace("own.py", "elsewhere/own.py") for one in GIVEN]
    code, outcome = replayed(capsys, *moved)
    assert (code, outcome["same"]) == (0, True)


@pytest.mark.parametrize("changed", ["own.py", "helper.py"])
def test_a_file_that_changed_is_refused_unless_it_is_meant(
    journal: Path, capsys: pytest.CaptureFixture[str], changed: str
) -> None:
    text = (journal / changed).read_text()
    (journal / changed).write_text(text.replace("min(column)", "max(column)") + "\n")
    assert main(["journal", "replay", "run.journal", *GIVEN]) == 2
    assert "own.py:Least is not the code that the journal was written with (digest " in capsys.readouterr().err
    code, outcome = replayed(capsys, *GIVEN, "--changed")
    assert outcome["same"] is (changed == "own.py")  # where only a line was added
    assert code == (0 if outcome["same"] else 1)


@pytest.mark.usefixtures("journal")
def test_another_policy_is_asked_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    code, outcome = replayed(capsys, *GIVEN, "--policy", "own.py:Last")
    assert (code, outcome["same"]) == (0, True)
    beside = outcome["beside"]
    assert beside["policy"] == "own.py:Last"
    prefill = beside["prefill"]
    assert 0 < prefill["differ"] <= prefill["asked"]
    assert beside["decode"] == {"asked": prefill["asked"], "differ": 0}  # there is one decode instance
    first = beside["first"][0]
    assert (first["stage"], first["chosen"], first["other"]) == ("prefill", "prefill-0", "prefill-13")


@pytest.mark.parametrize("recorded", ["cloudmatrix", "mooncake", "aibrix_pd", "power_of_two", "round_robin"])
@pytest.mark.parametrize("other", ["cloudmatrix", "mooncake", "aibrix_pd", "round_robin"])
def test_a_policy_agrees_with_itself_and_changes_nothing_by_being_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], recorded: str, other: str
) -> None:
    path = str(tmp_path / "run.journal")
    run = ["replay", DEMO, "--limit", "80", "--rate-scale", "30", "--cache", "local", "--config"]
    (tmp_path / "unprofiled.yaml").write_text("startup_profile: false\n")
    assert main([*run, str(tmp_path / "unprofiled.yaml"), "--policy", recorded, "--journal", path]) == 0
    capsys.readouterr()
    assert main(["journal", "replay", path, "--policy", other, "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["same"] is True
    prefill = outcome["beside"]["prefill"]
    assert prefill["asked"] == 80
    if recorded == other:
        assert prefill["differ"] == 0
    elif "round_robin" in (recorded, other):
        assert prefill["differ"] > 0


@pytest.mark.usefixtures("journal")
def test_what_cannot_be_asked_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for options, told in (
        (("--policy", "nobody"), "--policy: unknown value 'nobody'; known: "),
        (("--policy", "random", "--policy", "mooncake"), "--policy: random, mooncake: one policy at a time"),
        (("--policy", "own.py:Nobody"), "--policy: own.py: no class 'Nobody'; "),
    ):
        assert main(["journal", "replay", "run.journal", *GIVEN, *options]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert told in line
