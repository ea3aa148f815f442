"""How many requests a trace will bring, for a progress line: known in advance, or counted beside the run."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from scheduler.protocol.errors import InputError
from scheduler.sources.traces.lines import byte_chunks
from scheduler.sources.traces.options import TraceOptions

CHUNKS_A_LOOK: Final = 256
"""Pieces of a file read at one call, 64 MiB in all: some 50 ms, or a third of a second of a compressed file."""


class TraceTotal:
    """Returns the number of requests, None while it is not known; each call reads a little further in the file.

    Counts lines, so rows that are blank, left out or logged failures make it a little too large.
    """

    def __init__(self, path: str, options: TraceOptions, hint: int | None) -> None:
        self._total = hint
        self._rows: int | None = None
        self._options = options
        is_countable = hint is None and Path(path).is_file()
        self._counts = _count_rows(path) if is_countable else iter(())

    def __call__(self) -> int | None:
        """The total, if it is known by now."""
        if self._total is None:
            self._look()
        return self._total

    def _look(self) -> None:
        limit, num_chunks = self._options.limit, 0
        try:
            for rows in islice(self._counts, CHUNKS_A_LOOK):
                self._rows, num_chunks = rows, num_chunks + 1
                if limit is not None and rows >= limit:
                    self._total = limit * self._options.superpose
                    return
        except InputError:
            self._rows = None  # the run meets it as well, and says so
        if self._rows is not None and num_chunks < CHUNKS_A_LOOK:
            self._total = self._rows * self._options.superpose


def _count_rows(path: str) -> Iterator[int]:
    """Rows after each piece of the file; the header of a CSV file is none."""
    rows, chunk = 0, b"\n"
    for number, chunk in enumerate(byte_chunks(path)):
        if number == 0 and not chunk.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{"):
            rows = -1
        rows += chunk.count(b"\n")
        yield rows
    yield rows + (not chunk.endswith(b"\n"))
