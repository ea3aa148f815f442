"""A stdout that is closed, full or of few letters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.terminal.output import say, tell

ROOT = Path(__file__).parents[4]
DEMO = ROOT / "examples" / "demo.jsonl"
PROGRAM = "import sys; from deploy.cli import main; sys.exit(main())"


def run(arguments: list[str | Path], *, stdout: int, **environment: str) -> tuple[int, str]:
    """Exit code and stderr."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["replay", DEMO, "--limit", "20", "--json"], 0),
        (["replay", DEMO, "--limit", "20", "--fail-if", "seed<1"], 1),
        (["trace", "describe", DEMO, "--limit", "20"], 0),
    ],
)
def test_a_reader_who_has_seen_enough_is_no_error(arguments: list[str | Path], code: int, unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        expected = "bound broken: fail-if seed<1\n" if code else ""
        assert run(arguments, stdout=writing, PYTHONUNBUFFERED=unbuffered) == (code, expected)
    finally:
        os.close(writing)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full device")
def test_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        code, err = run(["replay", DEMO, "--limit", "20"], stdout=full.fileno())
    assert (code, err) == (2, "supernode: stdout: No space left on device; the result cannot be written there\n")


def test_a_name_may_have_letters_that_stdout_has_not(tmp_path: Path) -> None:
    trace = tmp_path / "h\u00e9.jsonl"
    trace.write_bytes(DEMO.read_bytes())
    with (tmp_path / "out").open("w") as out:
        assert run(["replay", trace, "--limit", "5"], stdout=out.fileno(), PYTHONIOENCODING="ascii") == (0, "")
    assert (tmp_path / "out").read_text().startswith("h\\xe9.jsonl: deepseek-r1")


def test_what_a_terminal_would_obey_is_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\tb\n\x1b[2J\x9b1m\x7f\r\n")
    tell("evil\x1b]0;title\x07")
    out, err = capsys.readouterr()
    assert out == "a\tb\n\\x1b[2J\\x9b1m\\x7f\\x0d\n"
    assert err == "evil\\x1b]0;title\\x07\n"
