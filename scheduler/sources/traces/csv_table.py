"""What the CSV formats share: columns found by name, lines split into cells, counts read from text."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from typing import Final

from scheduler.protocol.errors import TraceError
from scheduler.sources.traces.rows import MAX_TOKENS, shorten


def header_names(line: str) -> list[str]:
    """The names in a header line; empty if it is no CSV."""
    try:
        return [name.strip() for name in next(csv.reader([line], strict=True))]
    except (csv.Error, StopIteration):
        return []


class CsvTable:
    """The wanted columns of a CSV file, found by their names in its header."""

    def __init__(self, path: str, number: int, header: str, wanted: Sequence[str]) -> None:
        self.path: Final = path
        names = header_names(header)
        for name in wanted:
            if names.count(name) != 1:
                problem = "is not in the header" if name not in names else "stands twice in the header"
                raise TraceError(path, number, name, problem, f"the header needs {', '.join(wanted)}")
        self._width = len(names)
        self._places = [names.index(name) for name in wanted]

    def split_batch(self, lines: list[str]) -> list[list[str]] | None:
        """One list of cells for each wanted column; None if a row has another width."""
        rows = [line.split(",") for line in lines]
        if set(map(len, rows)) != {self._width}:
            return None
        return [[row[place] for row in rows] for place in self._places]

    def read_batch(
        self, lines: list[str], to_times_ns: Callable[[list[str]], list[int] | None], low: int
    ) -> tuple[list[int], list[int], list[int]] | None:
        """Times, prompt and output tokens, the three wanted columns of these rows; None if a cell is not plain."""
        columns = self.split_batch(lines)
        if columns is None:
            return None
        times_ns = to_times_ns(columns[0])
        prompt_tokens, output_tokens = to_counts(columns[1], low), to_counts(columns[2], low)
        if times_ns is None or prompt_tokens is None or output_tokens is None:
            return None
        return times_ns, prompt_tokens, output_tokens

    def split_row(self, number: int, line: str) -> list[str]:
        """The wanted cells of one row, spaces around them removed; quoted cells are understood."""
        cells = line.split(",")
        # What the batch path takes as it stands is taken so here as well: quotes in unread columns mean nothing.
        if len(cells) != self._width or any('"' in cells[place] for place in self._places):
            try:
                cells = next(csv.reader([line], strict=True))
            except (csv.Error, StopIteration) as error:
                raise TraceError(self.path, number, "", f"not CSV ({error})", "give one row a line") from None
        if len(cells) != self._width:
            problem = f"the row has {len(cells)} cells, the header {self._width}"
            raise TraceError(self.path, number, "", problem, "give every column of the header in every row")
        return [cells[place].strip() for place in self._places]

    def read_count(self, number: int, name: str, text: str, low: int) -> int:
        """A token count in low..`MAX_TOKENS`."""
        mend = f"give an integer from {low} to {MAX_TOKENS}"
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal()):
            raise TraceError(self.path, number, name, f"{shorten(text)} is not an integer", mend)
        # Longer texts are out of range in any case, and Python refuses to convert very long ones.
        value = int(text[:20])
        if value < low:
            raise TraceError(self.path, number, name, f"{shorten(text)} is less than {low}", mend)
        if value > MAX_TOKENS:
            raise TraceError(self.path, number, name, f"{shorten(text)} is more than {MAX_TOKENS}", mend)
        return value


def to_counts(cells: list[str], low: int) -> list[int] | None:
    """All cells as token counts in low..`MAX_TOKENS`, at C speed; None if any is not plainly one."""
    text = "".join(cells)
    # Digits only: `int` alone would also take signs, spaces, underscores and the digits of other scripts.
    if not (text.isascii() and text.isdecimal() and max(map(len, cells)) <= len(str(MAX_TOKENS))):
        return None
    try:
        counts = list(map(int, cells))
    except ValueError:
        return None
    return counts if min(counts) >= low and max(counts) <= MAX_TOKENS else None
