"""The page of a doctor: aligned, within the terminal's width, nothing that must be copied is cut."""

from __future__ import annotations

import pytest

from deploy.doctor.findings import Finding, count, render

PATH = "/a/very/long/path/" + "x" * 50
FINDINGS = [
    Finding("Python", "ok", "3.11.7"),
    Finding("Runtime folder", "bad", f"{PATH} is open to other users (mode 0755)", f"run 'chmod 700 {PATH}'"),
    Finding("Memory", "warn", "word " * 40, "end other programs " * 8),
]


@pytest.mark.parametrize("width", [60, 100, 120])
def test_lines_are_aligned_and_fit(width: int) -> None:
    lines = render(FINDINGS, width).splitlines()
    column = len("warn  Runtime folder  ")
    assert lines[0] == "ok    Python          3.11.7"
    assert lines[-1] == "1 ok, 1 warn, 1 bad"
    for line in lines[:-2]:
        assert line[column - 1] == " "
        assert line[column:].strip()
        assert len(line) <= width or PATH in line
    assert sum(line.startswith(f"{' ' * column}-> ") for line in lines) == 2
    assert any(PATH in line for line in lines if "->" in line or line.startswith(" " * (column + 3)))


def test_no_word_is_lost() -> None:
    words = render(FINDINGS, 60).split()
    for finding in FINDINGS:
        assert finding.found.split()[-1] in words
    assert words.count("word") == 40


def test_verdicts_are_counted() -> None:
    assert count(FINDINGS) == {"ok": 1, "warn": 1, "bad": 1}
    assert count([]) == {"ok": 0, "warn": 0, "bad": 0}
