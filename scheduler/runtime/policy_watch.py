"""Stands around each call into a policy of a user's own: what it may not do is sys.exit, print on stdout, or never
return.

A thread looks twice a second at the call under way. One that it has seen for `LIMIT_S` has an exception raised in its
own thread, wherever that is (a control plane's is not the main thread, so that signals would not do). A call that holds
even that (a bare `except`, a wait that never ends) is given `GRACE_S` more; then the process is ended. Code that never
lets go of the interpreter, such as one enormous power, cannot be seen by any thread.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Collection
from types import FrameType, TracebackType
from typing import Any, Final, NoReturn, TypeVar

from scheduler.policies.failures import BrokenOffError, PolicyFailedError
from scheduler.protocol.errors import ConfigError, PolicyStuckError, UndeclaredReadError

ResultT = TypeVar("ResultT")

LIMIT_S: Final = 10.0
"""What one call may take, on the wall, while the process runs."""

GRACE_S: Final = 5.0
"""What it may take beyond that to be ended."""

TICK_S: Final = 0.5

EXIT_STUCK: Final = 2
"""Exit code of a process that had to be ended: that of bad input."""


class _OverdueError(BaseException):
    """Raised in the thread of a call that has taken too long; no `except Exception` holds it."""


class PolicyWatch:
    """One for a process, in which one call is under way at a time; times in ticks of `tick_s`."""

    def __init__(
        self, limit_s: float = LIMIT_S, grace_s: float = GRACE_S, tick_s: float = TICK_S, *, may_end: bool = True
    ) -> None:
        self.limit_s: Final = limit_s
        self.found = ""
        """Where the call was that was ended last."""
        self._grace_s = grace_s
        self._tick_s = tick_s
        self._may_end = may_end
        self._call: tuple[PolicyCaller, int] | None = None
        self._thread: threading.Thread | None = None

    def begin(self, caller: PolicyCaller) -> None:
        """A call is under way from now on, in this thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._look, name="policy-watch", daemon=True)
            self._thread.start()
        self._call = caller, threading.get_ident()

    def end(self) -> None:
        """It has ended."""
        self._call = None

    def break_off(self) -> None:
        """End the call under way, if there is one in this thread: for handlers of signals, which run within it."""
        if self._call is not None and self._call[1] == threading.get_ident():
            raise BrokenOffError

    def _look(self) -> None:
        never, seen, ticks = threading.Event(), None, 0
        while not never.wait(self._tick_s):
            call = self._call
            ticks = ticks + 1 if call is not None and call is seen else 0
            seen = call
            if call is None or ticks * self._tick_s < self.limit_s:
                continue
            caller, thread_id = call
            if ticks * self._tick_s < self.limit_s + self._grace_s:
                self.found = caller.place_of(sys._current_frames().get(thread_id))  # pyright: ignore[reportPrivateUsage]
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), ctypes.py_object(_OverdueError))
            elif self._may_end:
                _end_process(caller.stuck_text(self.found))


WATCH: Final = PolicyWatch()
"""That of this process."""


class PolicyCaller:
    """Calls into one user's class: `name` is its `FILE.py:Class`, `files` what its code was read from."""

    def __init__(self, name: str, files: Collection[str], watch: PolicyWatch = WATCH) -> None:
        self.name: Final = name
        self._files: Final = files
        self._watch: Final = watch

    def __call__(self, call: Callable[..., ResultT], *arguments: Any) -> ResultT:
        """What the call returns.

        `PolicyFailedError` if it raises or would end the program, `PolicyStuckError` if it does not return; errors of
        ours and Ctrl-C go on. What it prints goes to stderr, as stdout is the result's.
        """
        stdout, watch = sys.stdout, self._watch
        try:
            sys.stdout = sys.stderr
            watch.begin(self)
            return call(*arguments)
        except _OverdueError:
            raise PolicyStuckError(self.stuck_text(watch.found)) from None
        except (KeyboardInterrupt, PolicyFailedError, UndeclaredReadError, ConfigError):
            raise
        except BaseException as error:
            raise PolicyFailedError(self.told(error)) from error
        finally:
            watch.end()
            sys.stdout = stdout

    def failed(self, method: object, what: str) -> PolicyFailedError:
        """For a method that returned what it must not: the line at which it is defined, and what."""
        code = getattr(method, "__code__", None)
        where = f"{code.co_filename}:{code.co_firstlineno}" if code is not None else self.name
        return PolicyFailedError(f"{where}: {what}")

    def told(self, error: BaseException) -> str:
        """Where in the user's files it went wrong, and what."""
        frames: list[tuple[str, int]] = []
        traceback: TracebackType | None = error.__traceback__
        while traceback is not None:
            frames.append((traceback.tb_frame.f_code.co_filename, traceback.tb_lineno))
            traceback = traceback.tb_next
        return f"{self._innermost(frames)}: {type(error).__name__}: {' '.join(str(error).split())}"

    def place_of(self, frame: FrameType | None) -> str:
        """Where in the user's files a thread is."""
        frames: list[tuple[str, int]] = []
        while frame is not None:
            frames.append((frame.f_code.co_filename, frame.f_lineno))
            frame = frame.f_back
        return self._innermost(frames[::-1])

    def stuck_text(self, place: str) -> str:
        """The line on a call that does not return."""
        return (
            f"policy {self.name} has not returned from a call for {self._watch.limit_s:g} s, it was at {place}; "
            "fix the file"
        )

    def _innermost(self, frames: list[tuple[str, int]]) -> str:
        """The last of these within the user's files, if there is one."""
        of_files = [f"{file}:{line}" for file, line in frames if file in self._files]
        return of_files[-1] if of_files else self.name.rpartition(":")[0]


def _end_process(line: str) -> NoReturn:
    if sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison]
        sys.stderr.write(f"supernode: {line}\n")
        sys.stderr.flush()
    os._exit(EXIT_STUCK)
