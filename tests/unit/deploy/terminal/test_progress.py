"""The progress line: for a terminal only, with count, total and the time that is left."""

from __future__ import annotations

import io
import re
import sys
import threading

import pytest

from deploy.terminal import progress as module
from deploy.terminal.progress import progress


class Terminal(io.StringIO):
    """A stderr that a person watches."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_count_total_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_POLL_S", 0.02)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    seen, done = threading.Event(), iter(range(1000, 100_000, 1000))

    def read() -> tuple[int, int | None]:
        now = next(done)
        if now >= 20_000:
            seen.set()
        return now, None if now < 3000 else 360_930

    with progress("replaying", read):
        assert seen.wait(10)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert re.search(r"replaying .* 2\d,\d00 of 360,930 requests 0:00:0\d (-:--:--|\d:\d\d:\d\d) left", shown)


def test_nobody_else_is_shown_or_asked_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_POLL_S", 0.0)
    monkeypatch.setattr(sys, "stderr", quiet := io.StringIO())

    def read() -> tuple[int, int | None]:
        raise AssertionError("nobody watches")

    before = threading.active_count()
    with progress("replaying", read):
        assert threading.active_count() == before
    assert quiet.getvalue() == ""
