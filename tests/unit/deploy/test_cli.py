"""The command line's tentative: one line on stderr, the right exit code, and imports only of what is invoked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from deploy.cli import COMMANDS
from deploy.doctor.installation import look

ROOT = Path(__file__).parents[3]

FAKE_SINGLE = """
import os, signal
from pathlib import Path
from typing import Annotated
import typer
from scheduler.protocol.errors import ClusterError, ConfigError, JournalError, LifecycleError, TraceError

app = typer.Typer()

@app.command()
def single(how: str, cluster: Annotated[str, typer.Option(help="a profile")] = "a", limit: int = 0) -> int | None:
    "Ends in the way it is told."
    match how:
        case "fine": print(cluster)
        case "bound": return 1
        case "exit": raise typer.Exit(1)
        case "trace": raise TraceError("t.jsonl", 7, "input_length", "is -1", "must be at least 1")
        case "config": raise ConfigError("first line\\nsecond line")
        case "journal": raise JournalError("j.bin: cut short at byte 9; run 'supernode journal repair j.bin'")
        case "cluster": raise ClusterError("no Ray node came up in 60 s; run 'supernode doctor'")
        case "lifecycle": raise LifecycleError(3, "DECODING", "ARRIVE")
        case "defect": raise ZeroDivisionError("division by zero")
        case "file": Path("no-such-folder/x").read_text()
        case "abort": raise typer.Abort
        case "interrupt": os.kill(os.getpid(), signal.SIGINT)
"""

FAKE_MULTI = """
import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")

@app.command()
def describe(path: str) -> None:
    "Says what is in it."
    print("described", path)

@app.command()
def convert(path: str) -> None:
    "Makes another of it."
"""

DRIVER = """
import sys
from deploy.cli import LazyCommand, main
code = main(commands={
    "single": LazyCommand("fake_single", "one command"),
    "multi": LazyCommand("fake_multi", "two commands"),
    "broken": LazyCommand("fake_broken", "cannot be imported"),
})
watched = {"fake_single", "fake_multi", "numpy", "ray", "rich", "pydantic", "yaml", "typer"}
print("imported:", *sorted(watched & set(sys.modules)))
sys.exit(code)
"""


@dataclass
class Answer:
    """What one run of the command line left."""

    code: int
    stdout: str
    stderr: str
    imported: set[str]


class CommandLine:
    """Runs `supernode` in a process of its own with fake commands `single`, `multi` and `broken`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "fake_single.py").write_text(FAKE_SINGLE)
        (folder / "fake_multi.py").write_text(FAKE_MULTI)
        (folder / "fake_broken.py").write_text("raise RuntimeError('no luck')")

    def __call__(self, *arguments: str, traceback: bool = False) -> Answer:
        environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{self.folder}"}
        environment.pop("SUPERNODE_TRACEBACK", None)
        if traceback:
            environment["SUPERNODE_TRACEBACK"] = "1"
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, *arguments],
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        stdout, _, imported = done.stdout.rpartition("imported:")
        return Answer(done.returncode, stdout, done.stderr, set(imported.split()))


@pytest.fixture
def supernode(tmp_path: Path) -> CommandLine:
    """The command line with fake commands."""
    return CommandLine(tmp_path)


def test_version_comes_from_the_distribution_and_imports_nothing_heavy(supernode: CommandLine) -> None:
    answer = supernode("--version")
    assert answer == Answer(0, f"supernode {version('supernode-serve')}\n", "", set())


@pytest.mark.parametrize("option", ["--verbose", "-v"])
def test_version_tells_which_build_runs(supernode: CommandLine, option: str) -> None:
    answer = supernode("--version", option)
    assert answer.code == 0
    assert answer.imported == set()
    first, second = answer.stdout.splitlines()
    assert first == f"supernode {version('supernode-serve')}"
    assert second == look().describe()


def test_version_takes_nothing_else(supernode: CommandLine) -> None:
    line = "'supernode --version' takes no --all; known: --verbose (-v)"
    assert supernode("--version", "--all") == Answer(2, "", f"supernode: {line}\n", set())


def test_help_lists_every_command_and_imports_none(supernode: CommandLine) -> None:
    answer = supernode("--help")
    assert answer.code == 0
    assert answer.imported == set()
    assert re.search(r"^  single  one command$", answer.stdout, re.MULTILINE)
    assert re.search(r"^  multi   two commands$", answer.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "no command given; one of single, multi, broken (see 'supernode --help')"),
        (["singel"], "no such command: singel; did you mean single?"),
        (["xyz"], "no such command: xyz; known: single, multi, broken"),
        (["--versoin"], "no such option: --versoin; did you mean --version?"),
        (["-x"], "no such option: -x; known: --help, --version"),
    ],
)
def test_a_wrong_first_word_is_one_line_and_imports_nothing(
    supernode: CommandLine, arguments: list[str], line: str
) -> None:
    assert supernode(*arguments) == Answer(2, "", f"supernode: {line}\n", set())


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["single", "fine", "--cluser", "b"],
            "no such option: --cluser (Possible options: --cluster); see 'supernode single --help'",
        ),
        (["single"], "missing argument 'how'; see 'supernode single --help'"),
        (["single", "fine", "--cluster"], "option '--cluster' requires an argument; see 'supernode single --help'"),
        (["multi"], "missing command; see 'supernode multi --help'"),
        (["multi", "describ"], "no such command 'describ'. Did you mean 'describe'?; see 'supernode multi --help'"),
        (["multi", "describe"], "missing argument 'path'; see 'supernode multi describe --help'"),
    ],
)
def test_wrong_usage_of_a_command_is_one_line(supernode: CommandLine, arguments: list[str], line: str) -> None:
    answer = supernode(*arguments)
    assert (answer.code, answer.stdout, answer.stderr) == (2, "", f"supernode: {line}\n")


def test_a_value_of_the_wrong_type_is_one_line(supernode: CommandLine) -> None:
    answer = supernode("single", "fine", "--limit", "many")
    assert answer.code == 2
    assert re.fullmatch(
        r"supernode: invalid value for '--limit': .*integer.*; see 'supernode single --help'\n", answer.stderr
    )


@pytest.mark.parametrize(
    ("how", "code", "line"),
    [
        ("trace", 2, "t.jsonl:7: input_length: is -1; must be at least 1"),
        ("config", 2, "first line second line"),
        ("journal", 2, "j.bin: cut short at byte 9; run 'supernode journal repair j.bin'"),
        ("file", 2, "no-such-folder/x: No such file or directory"),
        ("cluster", 3, "no Ray node came up in 60 s; run 'supernode doctor'"),
        (
            "lifecycle",
            3,
            "internal error: LifecycleError: request 3 in state DECODING cannot take event ARRIVE; please report it "
            "(SUPERNODE_TRACEBACK=1 shows where)",
        ),
        (
            "defect",
            3,
            "internal error: ZeroDivisionError: division by zero; please report it (SUPERNODE_TRACEBACK=1 shows where)",
        ),
        ("interrupt", 130, "interrupted"),
        ("abort", 130, "interrupted"),
    ],
)
def test_what_goes_wrong_inside_a_command_is_one_line_and_its_code(
    supernode: CommandLine, how: str, code: int, line: str
) -> None:
    answer = supernode("single", how)
    assert (answer.code, answer.stdout, answer.stderr) == (code, "", f"supernode: {line}\n")


def test_a_module_that_cannot_be_imported_is_an_internal_error(supernode: CommandLine) -> None:
    answer = supernode("broken")
    assert answer.code == 3
    assert answer.stderr.startswith("supernode: internal error: RuntimeError: no luck; please report it")
    assert answer.stderr.count("\n") == 1


def test_the_traceback_comes_only_when_asked_for(supernode: CommandLine) -> None:
    answer = supernode("single", "defect", traceback=True)
    assert answer.code == 3
    assert answer.stderr.startswith("Traceback (most recent call last)")
    assert answer.stderr.endswith("supernode: internal error: ZeroDivisionError: division by zero; please report it\n")


@pytest.mark.parametrize(("how", "code"), [("fine", 0), ("bound", 1), ("exit", 1)])
def test_a_command_decides_its_own_exit_code(supernode: CommandLine, how: str, code: int) -> None:
    answer = supernode("single", how)
    assert (answer.code, answer.stderr) == (code, "")


def test_only_the_invoked_command_is_imported(supernode: CommandLine) -> None:
    answer = supernode("multi", "describe", "t.jsonl")
    assert (answer.code, answer.stdout) == (0, "described t.jsonl\n")
    assert answer.imported & {"fake_single", "fake_multi", "numpy", "ray", "rich", "yaml"} == {"fake_multi"}


def test_the_help_of_a_command_is_plain_text(supernode: CommandLine) -> None:
    for command in ("single", "multi"):
        answer = supernode(command, "--help")
        assert answer.code == 0
        assert answer.stdout.startswith(f"Usage: supernode {command}")
        assert "completion" not in answer.stdout
        assert "rich" not in answer.imported


@pytest.mark.parametrize("name", COMMANDS)
def test_every_listed_command_has_its_module(name: str) -> None:
    assert find_spec(COMMANDS[name].module), (
        f"write {COMMANDS[name].module} or take {name!r} out of deploy.cli.COMMANDS"
    )
