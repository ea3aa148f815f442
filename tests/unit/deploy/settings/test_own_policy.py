"""A policy of one's own: used, told of when it is wrong, and the same wherever the run's parts are."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.cli import main
from deploy.run.journal_replay import CoreOfJournal
from deploy.run.replay import journal_header
from deploy.settings.load import load_settings
from deploy.settings.own_files import MAX_SOURCE_BYTES, OwnFiles
from deploy.settings.own_policy import PolicyChoice
from deploy.settings.settings import Settings
from deploy.system.blueprint import Blueprint
from scheduler.protocol.errors import ConfigError
from scheduler.runtime.journal import JournalHeader

ROOT = Path(__file__).parents[4]
DEMO = str(ROOT / "examples" / "demo.jsonl")
EXAMPLE = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "policies.md").read_text(encoding="utf-8"), re.DOTALL)[0]

FAILING = """
class Failing:
    def choose(self, stage, request):
        return 1 // (request.num_tokens % 7)
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Writes own.py into the current directory."""
    monkeypatch.chdir(tmp_path)

    def write_it(source: str) -> None:
        (tmp_path / "own.py").write_text(source)

    return write_it


def replay(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["replay", DEMO, "--limit", "300", "--cache", "local", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_example_of_the_page_runs_and_its_option_does_something(
    write: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert EXAMPLE.count("\n") <= 22
    write(EXAMPLE)
    hits: list[int] = []
    for policy in ("own.py:Sticky:least_match=0.1", "own.py:Sticky:least_match=1", "cloudmatrix"):
        code, out, err = replay(capsys, "--policy", policy, "--json")
        assert (code, err) == (0, "")
        hits.append(json.loads(out)["cache"]["hit_tokens"])
    assert hits[0] > hits[1] == hits[2]


def test_a_control_plane_in_another_process_needs_no_file(write: Callable[[str], None]) -> None:
    # What a live run sends it is the configuration as plain data.
    write(EXAMPLE)
    sent = json.dumps(load_settings(None, {"policy": "own.py:Sticky", "cache": "local"}).to_plain())
    Path("own.py").unlink()
    blueprint = Blueprint(Settings.from_plain(json.loads(sent)), 512)
    assert blueprint.make_core().routing.prefill._policy.reason.startswith("sticky: ")
    header = journal_header(blueprint)
    digest = OwnFiles({"own.py": EXAMPLE}).digest
    assert (header.policy_digest, header.own_code) == (f"own.py:Sticky {digest}", {"policy": digest})
    assert header.config["policy_source"] == ""


def test_what_it_does_wrong_is_counted_and_told_once(
    write: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    write(FAILING)
    code, _, err = replay(capsys, "--policy", "own.py:Failing")
    assert code == 0
    (line,) = [line for line in err.splitlines() if "prefill" in line]
    assert re.search(r"the prefill policy failed \d+ times, first: own\.py:4: ZeroDivisionError", line)


@pytest.mark.parametrize(
    ("source", "policy", "said"),
    [
        ("x = (", "own.py:Own", "--policy: own.py:1: '(' was never closed; fix the file"),
        ("\n\nimport nothing_of_that_name", "own.py:Own", "--policy: own.py:3: ModuleNotFoundError: No module named"),
        (
            FAILING,
            "own.py:Faling",
            "--policy: own.py: no class 'Faling'; did you mean Failing? policies in it: Fa",
        ),
        (
            "class Own: pass",
            "own.py:Own",
            "--policy: own.py: class Own has no method choose(self, stage, request); ",
        ),
        (FAILING, "own.py:Failing:a=1", "--policy: own.py:Failing takes no options, and was given 'a=1'; leave it out"),
        (
            EXAMPLE,
            "own.py:Sticky:least=1",
            "--policy: own.py:Sticky: unknown option 'least'; did you mean least_m",
        ),
        ("", "absent.py:Own", "--policy: absent.py: No such file or directory"),
        (
            "class Own:\n    def __init__(self):\n        raise RuntimeError('no')\n    def choose(self, s, r): ...",
            "own.py:Own",
            "--policy: own.py:3: RuntimeError: no; fix the file",
        ),
    ],
)
def test_what_is_wrong_with_it_is_one_line_before_the_run(
    write: Callable[[str], None], source: str, policy: str, said: str
) -> None:
    write(source)
    with pytest.raises(ConfigError) as caught:
        load_settings(None, {"policy": policy})
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_a_standing_cluster_keeps_the_source_it_was_told(write: Callable[[str], None]) -> None:
    write(EXAMPLE)
    up = load_settings(None, {"policy": "own.py:Sticky"})
    Path("own.py").unlink()
    base = up.to_plain()
    files = OwnFiles({"own.py": EXAMPLE})
    assert load_settings(None, {}, base).routing.policy == PolicyChoice("policy", "own.py:Sticky", files)
    assert load_settings(None, {"policy": "random"}, base).routing.policy == PolicyChoice("policy", "random", None)
    assert load_settings(None, {"order": "edf"}, base).routing.policy.files == files


def test_a_run_folder_tells_why_it_chose(write: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    write(EXAMPLE)
    assert replay(capsys, "--policy", "own.py:Sticky", "--out", "run")[0] == 0
    decisions = json.loads(Path("run/run.json").read_text())["decisions"]
    assert any(reason.startswith("sticky: ") for reason in decisions["prefill_reasons"])
    assert main(["explain", "3", "run"]) == 0
    assert "sticky: " in capsys.readouterr().out


HELPED = """
import json
from helper import least
import scheduler

class Own:
    def choose(self, stage, request):
        import late
        assert json.dumps([late.NUMBER]) == "[7]" and scheduler.__name__ == "scheduler"
        return least(stage.outstanding_tokens)
"""


def test_files_beside_it_travel_with_it_and_are_nobody_elses(
    write: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    write(HELPED)
    Path("helper.py").write_text("from far import low as least\n")
    Path("far.py").write_text("def low(column):\n    return column.index(min(column))\n")
    Path("late.py").write_text("NUMBER = 7\n")
    Path("scheduler.py").write_text("raise RuntimeError('ours is the one')\n")
    Path("unused.py").write_text("raise RuntimeError('nobody imports it')\n")
    code, _, err = replay(capsys, "--policy", "own.py:Own")
    assert (code, err) == (0, "")
    settings = load_settings(None, {"policy": "own.py:Own"})
    files = settings.routing.policy.files
    assert files is not None
    assert list(files.texts) == ["own.py", "helper.py", "late.py", "far.py"]
    for name in files.texts:
        Path(name).unlink()
    sent = Settings.from_plain(json.loads(json.dumps(settings.to_plain())))
    assert Blueprint(sent, 512).make_core().policy_failures["prefill"].count == 0
    assert not {"helper", "far", "late"} & set(sys.modules)
    assert str(Path.cwd()) not in sys.path


def test_a_failure_in_a_file_beside_it_is_told_with_its_line(
    write: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    write(
        "from helper import least\n\nclass Own:\n    def choose(self, stage, request):\n        return least(stage)\n"
    )
    Path("helper.py").write_text("def least(stage):\n    return stage.outstanding_tokens[99]\n")
    _, _, err = replay(capsys, "--policy", "own.py:Own")
    assert "the prefill policy failed 300 times, first: helper.py:2: IndexError: tuple index out of range" in err


def test_files_together_are_bounded(write: Callable[[str], None]) -> None:
    write("import helper\n" + FAILING)
    Path("helper.py").write_text("#" * (MAX_SOURCE_BYTES - 10))
    with pytest.raises(ConfigError, match=r"helper\.py has 999,990 bytes, at most 1,000,000 with the files beside it"):
        load_settings(None, {"policy": "own.py:Failing"})


@pytest.mark.parametrize(
    ("kind", "source", "said"),
    [
        ("admission", "class Own: pass", "--admission: own.py: class Own has no method admits(self, request, view); "),
        ("order", "class Own: pass", "--order: own.py: class Own has no method key(self, request); add one"),
        ("admission", "class Own:\n reads = 1\n def admits(self, r, v): ...", "--admission: own.py:Own: reads is 1; "),
        (
            "policy",
            "class Own:\n reads = 'load'\n def choose(self, s, r): ...",
            "--policy: own.py:Own: reads is 'load'; ",
        ),
        ("policy", "import sys\nsys.exit(5)", "--policy: own.py:2: SystemExit: 5; fix the file"),
        ("policy", "class Own:\n reason = 3\n def choose(self, s, r): ...", "--policy: own.py:Own: reason is 3; "),
    ],
)
def test_what_is_wrong_with_any_kind_is_one_line(
    write: Callable[[str], None], kind: str, source: str, said: str
) -> None:
    write(source)
    with pytest.raises(ConfigError) as caught:
        load_settings(None, {kind: "own.py:Own"})
    assert str(caught.value).startswith(said)


def test_a_file_of_settings_and_a_journal_header_carry_no_code(write: Callable[[str], None]) -> None:
    write(EXAMPLE)
    for text in ("policy_source: x\n", "policy: own.py:Sticky\npolicy_source: x\n"):
        Path("settings.yaml").write_text(text)
        with pytest.raises(ConfigError, match=r"settings\.yaml:\d: policy_source is no place for code; name the file"):
            load_settings("settings.yaml", {})
    told = load_settings(None, {"policy": "own.py:Sticky"}).to_plain()
    with pytest.raises(ConfigError, match=r"carries no code: give its file, --policy own\.py:Sticky"):
        CoreOfJournal()(JournalHeader({**told, "block_tokens": 512}))
