"""A progress line on stderr for long work, only when a person watches."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

_POLL_S: Final = 0.5


@contextmanager
def waiting(title: str, usual_s: float) -> Generator[None]:
    """Show `title` with the seconds that have passed and that it usually takes; nothing when stderr is no terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as line:
        line.add_task(f"{title} (about {usual_s:.0f} s)", total=None)
        yield


@contextmanager
def progress(title: str, read: Callable[[], tuple[int, int | None]], unit: str = "requests") -> Generator[None]:
    """Show `title` with a bar while the body runs; `read` answers (done, total or None), polled from a thread.

    With a total, the remaining time is extrapolated from the speed so far; without one only the count is shown. Writes
    nothing when stderr is no terminal.
    """
    if not sys.stderr.isatty():
        yield
        return
    finished = threading.Event()
    thread = threading.Thread(target=_show, args=(title, read, unit, finished), daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def _show(title: str, read: Callable[[], tuple[int, int | None]], unit: str, finished: threading.Event) -> None:
    if finished.wait(_POLL_S):  # short work shows nothing
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None, count="")
        while True:
            done, total = read()
            of = "" if total is None else f" of {total:,}"
            bar.update(task, completed=done, total=total, count=f"{done:,}{of} {unit}")
            if finished.wait(_POLL_S):
                return
