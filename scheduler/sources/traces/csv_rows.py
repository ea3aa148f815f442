"""CSV traces: a format names its columns, and every rule of its rows stands here once.

Columns are found by their names in the header, in any order; others are not read.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from itertools import compress
from typing import Final

from scheduler.protocol.catalog import shorten
from scheduler.protocol.errors import TraceError
from scheduler.sources.traces.lines import LineBatch, check_line
from scheduler.sources.traces.rows import (
    MAX_TOKENS,
    NO_PREFIX,
    BadRow,
    Row,
    RowColumns,
    RowReader,
    are_class_names,
    class_name_of,
    integer,
    named_classes,
)
from scheduler.sources.traces.time_units import TimeUnit


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvFormat:
    """Names of columns. `class_name`, that of request classes, may be absent from a file, and its cells be empty.

    `logs_failures`: a row of 0 output tokens is a request that failed, which is counted and left out.
    """

    time: str
    unit: TimeUnit
    prompt_tokens: str
    output_tokens: str
    class_name: str = ""
    logs_failures: bool = False

    @property
    def columns(self) -> tuple[str, str, str]:
        """Those that every file has; by them a header is known."""
        return (self.time, self.prompt_tokens, self.output_tokens)

    def open(self, path: str, first: LineBatch) -> tuple[RowReader, LineBatch]:
        """What reads the rows, and the rows of the first batch, whose first line is the header; a TraceError for a
        header that lacks a column."""
        number, header = first.numbers[0], first.lines[0]
        check_line(path, number, header)
        return _CsvRows(self, path, number, header), LineBatch(first.numbers[1:], first.lines[1:], first.suspect)


def header_names(line: str) -> list[str]:
    """The names in a header line; empty if it is no CSV."""
    try:
        return [name.strip() for name in next(csv.reader([line], strict=True))]
    except (csv.Error, StopIteration):
        return []


class _CsvRows:
    """Rows of one file, as `RowReader` has them."""

    def __init__(self, form: CsvFormat, path: str, number: int, header: str) -> None:
        self.time_field: Final = form.time
        self._form: Final = form
        self._low: Final = 0 if form.logs_failures else 1
        names = header_names(header)
        for name in form.columns:
            if names.count(name) != 1:
                problem = "is not in the header" if name not in names else "stands twice in the header"
                raise TraceError(path, number, name, problem, f"the header needs {', '.join(form.columns)}")
        self._width = len(names)
        self._places = [names.index(name) for name in (*form.columns, form.class_name) if name in names]

    def read_batch(self, lines: list[str]) -> RowColumns | None:
        """See `RowReader`."""
        rows = [line.split(",") for line in lines]
        if set(map(len, rows)) != {self._width}:
            return None
        times, prompts, outputs, *others = [[row[place] for row in rows] for place in self._places]
        classes = others[0] if others else []
        times_ns = self._form.unit.read_all(times)
        prompt_tokens, output_tokens = to_counts(prompts, self._low), to_counts(outputs, self._low)
        if times_ns is None or prompt_tokens is None or output_tokens is None or not _are_plain(classes):
            return None
        num_failed = output_tokens.count(0)
        if num_failed:
            times_ns = list(compress(times_ns, output_tokens))
            prompt_tokens = list(compress(prompt_tokens, output_tokens))
            classes = list(compress(classes, output_tokens))
            output_tokens = list(filter(None, output_tokens))
        if 0 in prompt_tokens:
            return None
        prefixes = [NO_PREFIX] * len(times_ns)
        return RowColumns(times_ns, prompt_tokens, output_tokens, prefixes, num_failed, named_classes(classes))

    def read_row(self, line: str) -> Row | None:
        """See `RowReader`."""
        form = self._form
        time, prompt, output, *others = self._cells(line)
        try:
            time_ns = form.unit.read(time)
        except ValueError as error:
            raise BadRow(form.time, f"{shorten(time)} {error}", form.unit.fix) from None
        output_tokens = _count(form.output_tokens, output, self._low)
        prompt_tokens = _count(form.prompt_tokens, prompt, 1 if output_tokens else 0)
        class_name = class_name_of(form.class_name, others[0]) if others else ""
        return Row(time_ns, prompt_tokens, output_tokens, NO_PREFIX, class_name) if output_tokens else None

    def _cells(self, line: str) -> list[str]:
        """Those that are read, spaces around them removed; quoted cells are understood."""
        cells = line.split(",")
        # What the batch path takes as it stands is taken so here as well: quotes in unread columns mean nothing.
        if len(cells) != self._width or any('"' in cells[place] for place in self._places):
            try:
                cells = next(csv.reader([line], strict=True))
            except (csv.Error, StopIteration) as error:
                raise BadRow("", f"not CSV ({error})", "give one row a line") from None
        if len(cells) != self._width:
            problem = f"the row has {len(cells)} cells, the header {self._width}"
            raise BadRow("", problem, "give every column of the header in every row")
        return [cells[place].strip() for place in self._places]


def _count(name: str, text: str, low: int) -> int:
    """A token count in low..`MAX_TOKENS`."""
    digits = text.removeprefix("-")
    # Longer texts are out of range in any case, and Python refuses to convert very long ones.
    value = int(text[:20]) if digits.isascii() and digits.isdecimal() else None
    return integer(name, value, low, MAX_TOKENS, text)


def _are_plain(classes: list[str]) -> bool:
    """Whether all are names of classes or empty, with nothing around them that a row by itself would be rid of."""
    names = set(classes)
    return are_class_names(classes) and not any('"' in name or name != name.strip() for name in names)


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
