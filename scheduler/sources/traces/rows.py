"""The loop that all file formats share: a batch at C speed if all is well, else row by row to name the culprit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from sys import intern
from typing import Final, Protocol

from scheduler.protocol.catalog import shorten
from scheduler.protocol.errors import TraceError
from scheduler.sources.arrivals import ArrivalBlock
from scheduler.sources.traces.lines import LineBatch, check_line
from scheduler.sources.traces.options import SkippedRows, TraceOptions

MAX_TOKENS: Final = 10**7
"""More tokens than any model's context: a length above it is a slip of a column or a unit."""

NO_PREFIX: Final[list[int]] = []
"""The one empty list that all rows without block ids share; columns are never changed after they were yielded."""

MAX_CLASS_CHARACTERS: Final = 40


@dataclass(slots=True)
class RowColumns:
    """Good rows of one batch; times count nanoseconds from any zero that the file has. `classes` may be empty."""

    times_ns: Final[list[int]] = field(default_factory=list[int])
    prompt_tokens: Final[list[int]] = field(default_factory=list[int])
    output_tokens: Final[list[int]] = field(default_factory=list[int])
    prefixes: Final[list[list[int]]] = field(default_factory=list[list[int]])
    num_failed: int = 0
    classes: Final[list[str]] = field(default_factory=list[str])


@dataclass(slots=True)
class Row:
    """One good row."""

    time_ns: Final[int]
    prompt_tokens: Final[int]
    output_tokens: Final[int]
    prefix: Final[list[int]]
    class_name: Final[str] = ""


class BadRow(Exception):
    """A row that cannot be a request: the field, what is wrong with it, and what to give. Its reader knows no place."""

    def __init__(self, field: str, problem: str, fix: str) -> None:
        self.field: Final = field
        self.problem: Final = problem
        self.fix: Final = fix
        super().__init__(f"{field}: {problem}; {fix}")


class RowReader(Protocol):
    """Reads rows of one file. Both ways of reading must agree on every row that is good."""

    time_field: str

    def read_batch(self, lines: list[str]) -> RowColumns | None:
        """All rows of a batch, without the failed ones; None if any of them is not plainly good. Never raises."""
        ...

    def read_row(self, line: str) -> Row | None:
        """One row; None if it is a logged failure and no request. `BadRow` says what is wrong."""
        ...


def read_blocks(
    path: str, batches: Iterator[LineBatch], reader: RowReader, options: TraceOptions, skipped: SkippedRows
) -> Iterator[ArrivalBlock]:
    """Requests in the order of the file, times counted from the first. TraceError on the first bad row or none good."""
    judge = _RowJudge(path, reader, options.skip_bad, skipped)
    rows_left = options.limit
    origin_ns: int | None = None
    for batch in batches:
        if rows_left is not None:
            batch = LineBatch(batch.numbers[:rows_left], batch.lines[:rows_left], batch.suspect)
            rows_left -= len(batch.lines)
        columns = judge.read(batch)
        skipped.num_failed += columns.num_failed
        if columns.times_ns:
            if origin_ns is None:
                origin_ns = columns.times_ns[0]
            yield _to_block(columns, origin_ns)
        if rows_left == 0:
            break
    if origin_ns is None:
        left_out = skipped.num_bad + skipped.num_failed
        problem = f"no request among {left_out} rows" if left_out else "no request in it"
        raise TraceError(path, 0, "", problem, "an empty trace cannot be used: give one with at least one good row")


def _to_block(columns: RowColumns, origin_ns: int) -> ArrivalBlock:
    arrived_ns = [time_ns - origin_ns for time_ns in columns.times_ns]
    tenants = [0] * len(arrived_ns)
    tokens = (columns.prompt_tokens, columns.output_tokens)
    return ArrivalBlock(arrived_ns, *tokens, columns.prefixes, tenants, columns.classes)


class _RowJudge:
    """Reads batches and holds that time does not run back from one row to the next."""

    def __init__(self, path: str, reader: RowReader, skip_bad: bool, skipped: SkippedRows) -> None:
        self._path = path
        self._reader = reader
        self._skip_bad = skip_bad
        self._skipped = skipped
        self._last_ns = 0

    def read(self, batch: LineBatch) -> RowColumns:
        """The good rows of a batch."""
        columns = None if batch.suspect or not batch.lines else self._reader.read_batch(batch.lines)
        if columns is None or not self._in_order(columns.times_ns):
            columns = self._read_one_by_one(batch)
        if columns.times_ns:
            self._last_ns = columns.times_ns[-1]
        return columns

    def _in_order(self, times_ns: list[int]) -> bool:
        return not times_ns or (times_ns[0] >= self._last_ns and times_ns == sorted(times_ns))

    def _read_one_by_one(self, batch: LineBatch) -> RowColumns:
        columns = RowColumns()
        last_ns = self._last_ns
        for number, line in zip(batch.numbers, batch.lines, strict=True):
            try:
                row = self._read_row(number, line, last_ns)
            except TraceError as error:
                if not self._skip_bad:
                    raise
                self._skipped.add_bad(error)
                continue
            if row is None:
                columns.num_failed += 1
                continue
            last_ns = row.time_ns
            columns.times_ns.append(row.time_ns)
            columns.prompt_tokens.append(row.prompt_tokens)
            columns.output_tokens.append(row.output_tokens)
            columns.prefixes.append(row.prefix)
            columns.classes.append(row.class_name)
        return columns

    def _read_row(self, number: int, line: str, last_ns: int) -> Row | None:
        check_line(self._path, number, line)
        try:
            row = self._reader.read_row(line)
            if row is not None and row.time_ns < last_ns:
                problem = f"time runs back by {(last_ns - row.time_ns) / 1e9:g} s from the row before"
                raise BadRow(self._reader.time_field, problem, "sort the rows by time")
        except BadRow as bad:
            raise TraceError(self._path, number, bad.field, bad.problem, bad.fix) from None
        return row


def integer(field_name: str, value: object, low: int, high: int, text: object) -> int:
    """The value, if it is a true integer (a bool is none) in low..high; else `BadRow`. `text`: as it stands there."""
    if type(value) is not int:
        problem = "is not an integer"
    elif value < low:
        problem = f"is less than {low}"
    elif value > high:
        problem = f"is more than {high}"
    else:
        return value
    raise BadRow(field_name, f"{shorten(text)} {problem}", f"give an integer from {low} to {high}")


def are_class_names(classes: list[str]) -> bool:
    """Whether all may name a request class, or are empty; a trace has few names, so each is looked at once."""
    if not set(map(type, classes)) <= {str}:
        return False
    return all(len(name) <= MAX_CLASS_CHARACTERS and (name.isprintable() or not name) for name in set(classes))


def class_name_of(field_name: str, value: object) -> str:
    """The value, if it may name a request class or is empty; else `BadRow`."""
    if not isinstance(value, str) or not are_class_names([value]):
        fix = f"give a name of at most {MAX_CLASS_CHARACTERS} printable characters, or leave the field out"
        raise BadRow(field_name, f"{shorten(value)} cannot name a class", fix)
    return intern(value)


def named_classes(classes: list[str]) -> list[str]:
    """The same, or nothing if no row names a class."""
    return classes if any(classes) else []
