"""How a call into code of a user's own may end, and how one is ended that does not."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import NoReturn

import pytest

from scheduler.policies.failures import BrokenOffError, PolicyFailedError
from scheduler.protocol.errors import ConfigError, PolicyStuckError, UndeclaredReadError
from scheduler.runtime.policy_watch import LIMIT_S, TICK_S, PolicyCaller, PolicyWatch

LOOP = """
def loop():
    while True:
        try:
            number = 1
        except Exception:
            pass

def catching():
    while True:
        try:
            loop()
        except Exception:
            pass

def ends():
    import sys
    sys.exit(3)

def divides():
    return 1 // 0
"""


def functions(path: str = "own.py") -> dict[str, Callable[[], object]]:
    names: dict[str, Callable[[], object]] = {}
    exec(compile(LOOP, path, "exec"), names)
    return names


def caller(watch: PolicyWatch | None = None) -> PolicyCaller:
    return PolicyCaller("own.py:Own", {"own.py"}, watch or PolicyWatch(may_end=False))


def quick() -> PolicyWatch:
    return PolicyWatch(limit_s=0.02, tick_s=0.005, may_end=False)


def test_the_limit_that_is_documented() -> None:
    assert (LIMIT_S, TICK_S) == (10.0, 0.5)


@pytest.mark.parametrize("name", ["loop", "catching"])
def test_a_call_that_never_returns_is_ended_and_its_line_named(name: str) -> None:
    with pytest.raises(PolicyStuckError, match=r"policy own\.py:Own has not returned .* it was at own\.py:[3-7]; fix"):
        caller(quick())(functions()[name])


def test_also_in_a_thread_that_no_signal_reaches() -> None:
    told: list[str] = []

    def run() -> None:
        try:
            caller(quick())(functions()["loop"])
        except PolicyStuckError as error:
            told.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "own.py:" in told[0]


def test_the_next_call_has_its_own_time() -> None:
    calls = caller(quick())
    waiting = threading.Event()
    for _ in range(20):  # together far above the limit
        calls(waiting.wait, 0.004)
    assert calls(len, "abc") == 3


@pytest.mark.parametrize(
    ("name", "told"), [("ends", "own.py:18: SystemExit: 3"), ("divides", "own.py:21: ZeroDivisionError: integer divis")]
)
def test_what_is_raised_is_a_failure_with_its_line(name: str, told: str) -> None:
    with pytest.raises(PolicyFailedError) as caught:
        caller()(functions()[name])
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize("error", [KeyboardInterrupt, BrokenOffError, UndeclaredReadError, ConfigError])
def test_these_are_no_failures(error: type[BaseException]) -> None:
    def raises() -> NoReturn:
        raise error("said")

    with pytest.raises(error, match="said") as caught:
        caller()(raises)
    assert type(caught.value) is error


def test_prints_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    out = sys.stdout
    caller()(print, "hello")
    with pytest.raises(PolicyFailedError):
        caller()(functions()["divides"])
    assert sys.stdout is out
    assert capsys.readouterr() == ("", "hello\n")


def test_a_call_is_broken_off_only_while_it_is_under_way() -> None:
    watch = PolicyWatch(may_end=False)
    watch.break_off()
    with pytest.raises(BrokenOffError):
        caller(watch)(watch.break_off)
    watch.break_off()
