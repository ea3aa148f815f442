"""The loop that all file formats share: a batch at C speed if all is well, else row by row to name the culprit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from sys import intern
from typing import Any, Final, NoReturn, Protocol, cast

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

from scheduler.protocol.catalog import shorten
from scheduler.protocol.errors import TraceError
from scheduler.sources.arrivals import ArrivalBlock
from scheduler.sources.traces.identity import Identity, flat_ids
from scheduler.sources.traces.lines import LineBatch, check_line
from scheduler.sources.traces.options import SkippedRows, TraceOptions
from scheduler.sources.traces.row_format import RowFormat
from scheduler.sources.traces.sessions.given import NO_TIME, GivenLinks
from scheduler.sources.traces.sessions.histories import Histories
from scheduler.sources.traces.sessions.linker import Linker
from scheduler.sources.traces.tenants import FIX as TENANT_FIX
from scheduler.sources.traces.tenants import TenantNumbers
from scheduler.sources.traces.turns import TurnKey, Turns
from scheduler.sources.traces.unread import FieldTally, Shape

MAX_TOKENS: Final = 10**7
"""More tokens than any model's context: a length above it is a slip of a column or a unit."""

NO_PREFIX: Final[list[int]] = []
"""The one empty list that all rows without block ids share; columns are never changed after they were yielded."""

MAX_CLASS_CHARACTERS: Final = 40

USUAL_SIZES: Final = (512, 16, 32, 64, 128, 256, 1024)
"""Tokens of a block in the traces that there are, and in engines."""


class RowColumns(Struct):
    """Good rows of one batch; times count nanoseconds from any zero that the file has. `classes`, `tenants`, and the
    keys of `turns` and of those `befores` each may be empty, and so may `given`: what rows say of each other. `shapes`:
    how many rows have which fields. `flat`: all ids in one, if all are integers and that is known. `kept`: which lines
    of the batch the rows are, None if all; `lines`: the number of each in the file, once its judge has seen it."""

    times_ns: Final[list[int]] = field(default_factory=list[int])
    prompt_tokens: Final[list[int]] = field(default_factory=list[int])
    output_tokens: Final[list[int]] = field(default_factory=list[int])
    prefixes: Final[list[list[Any]]] = field(default_factory=list[list[Any]])
    num_failed: int = 0
    classes: Final[list[str]] = field(default_factory=list[str])
    tenants: Final[list[int]] = field(default_factory=list[int])
    turns: Final[list[TurnKey]] = field(default_factory=list[TurnKey])
    befores: Final[list[TurnKey]] = field(default_factory=list[TurnKey])
    shapes: Counter[Shape] = field(default_factory=Counter[Shape])
    flat: npt.NDArray[np.uint64] | None = None
    given: Final[list[GivenLinks]] = field(default_factory=list[GivenLinks])
    kept: list[int] | None = None
    lines: list[int] = field(default_factory=list[int])

    def append(self, row: Row) -> None:
        """Add a row; all rows are added so, or none."""
        self.times_ns.append(row.time_ns)
        self.prompt_tokens.append(row.prompt_tokens)
        self.output_tokens.append(row.output_tokens)
        self.prefixes.append(row.prefix)
        self.classes.append(row.class_name)
        self.tenants.append(row.tenant)
        self.turns.append(row.turn)
        self.befores.append(row.before)
        self.shapes[row.shape] += 1
        if row.given is not None:
            self.given.append(row.given)

    def remove(self, row: int) -> None:
        """Take out a row that was added."""
        for column in (self.times_ns, self.prompt_tokens, self.output_tokens, self.prefixes):
            del column[row]
        for column in (self.classes, self.tenants, self.turns, self.befores):
            del column[row]
        if self.given:
            del self.given[row]


class Row(Struct, frozen=True):
    """One good row. `turn`: what it is known by if others go on from it, `before` the turn from which it goes on.
    `shape`: the fields that it has. `given`: what it says of rows that it waits for, if that was asked for."""

    time_ns: int
    prompt_tokens: int
    output_tokens: int
    prefix: list[Any]
    class_name: str = ""
    tenant: int = 0
    turn: TurnKey = None
    before: TurnKey = None
    shape: Shape = ()
    given: GivenLinks | None = None


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
    ids_field: str
    fields: FieldTally

    def read_batch(self, lines: list[str]) -> RowColumns | None:
        """All rows of a batch, without the failed ones; None if any of them is not plainly good. Never raises."""
        ...

    def read_row(self, line: str) -> Row | None:
        """One row; None if it is a logged failure and no request. `BadRow` says what is wrong."""
        ...


class Memory(Struct, frozen=True):
    """What is remembered of rows: what ids mean; and where that was asked for, turns whose answers are repeated, who
    waits for whom, and prompts that hold those before them."""

    identity: Identity
    turns: Turns | None = None
    linker: Linker | None = None
    histories: Histories | None = None

    def block(self, columns: RowColumns) -> ArrivalBlock:
        """Good rows as a block."""
        tenants = columns.tenants or [0] * len(columns.times_ns)
        tokens, prefixes, answers = (columns.prompt_tokens, columns.output_tokens), columns.prefixes, list[int]()
        links = None if self.linker is None else self.linker.take(columns.given, columns.lines, columns.times_ns)
        if links is not None and self.histories is not None:
            answers = self.histories.take(prefixes, *tokens, links.sessions, links.resets)
        if self.turns is not None and columns.turns:
            answers = self.turns.take(prefixes, *tokens, columns.turns, columns.befores)
        classes = named_classes(columns.classes)
        return ArrivalBlock(columns.times_ns, *tokens, prefixes, tenants, classes, answers, links)


def read_blocks(
    path: str,
    batches: Iterator[LineBatch],
    reader: RowReader,
    memory: Memory,
    options: TraceOptions,
    skipped: SkippedRows,
) -> Iterator[ArrivalBlock]:
    """Requests in the order of the file, at the times that stand there. TraceError on a bad row, or if none is good."""
    judge = _RowJudge(path, reader, memory.identity, options, skipped)
    rows_left = options.limit
    is_empty = True
    for batch in batches:
        if rows_left is not None:
            batch = LineBatch(batch.numbers[:rows_left], batch.lines[:rows_left], batch.suspect)
            rows_left -= len(batch.lines)
        columns = judge.read(batch)
        skipped.num_failed += columns.num_failed
        if columns.times_ns:
            is_empty = False
            yield memory.block(columns)
        if rows_left == 0:
            break
    if is_empty:
        left_out = skipped.num_bad + skipped.num_failed
        problem = f"no request among {left_out} rows" if left_out else "no request in it"
        raise TraceError(path, 0, "", problem, "an empty trace cannot be used: give one with at least one good row")


class _RowJudge:
    """Reads batches and holds that rows agree with those before: in time, and in what their ids mean."""

    def __init__(
        self, path: str, reader: RowReader, identity: Identity, options: TraceOptions, skipped: SkippedRows
    ) -> None:
        self._path = path
        self._reader = reader
        self._identity = identity
        self._skip_bad = options.skip_bad
        # Turns of sessions may stand together; their order in time is that of each session.
        self._is_sorted = not (options.sort or options.links)
        self._fills_times = options.timeless and not options.links
        self._skipped = skipped
        self._last_ns = 0

    def read(self, batch: LineBatch) -> RowColumns:
        """The good rows of a batch."""
        columns = None if batch.suspect or not batch.lines else self._reader.read_batch(batch.lines)
        if columns is None or not self._in_order(columns.times_ns) or not self._agree(columns):
            columns = self._read_one_by_one(batch)
        elif columns.given:
            numbers, kept = batch.numbers, columns.kept
            columns.lines = list(numbers) if kept is None else [numbers[row] for row in kept]
        if self._fills_times and columns.times_ns:
            self._fill_times(columns.times_ns)
        if columns.times_ns:
            self._last_ns = columns.times_ns[-1]
        self._reader.fields.count(columns.shapes)
        return columns

    def _in_order(self, times_ns: list[int]) -> bool:
        if not times_ns or not self._is_sorted:
            return True
        if self._fills_times and NO_TIME in times_ns:
            self._fill_times(times_ns)
        return times_ns[0] >= self._last_ns and times_ns == sorted(times_ns)

    def _fill_times(self, times_ns: list[int]) -> None:
        """Rows without a time get that of the row before."""
        for row, time_ns in enumerate(times_ns):
            if time_ns == NO_TIME:
                times_ns[row] = times_ns[row - 1] if row else self._last_ns

    def _agree(self, columns: RowColumns) -> bool:
        return self._identity.take(columns.prefixes, columns.prompt_tokens, columns.flat) == len(columns.prefixes)

    def _read_one_by_one(self, batch: LineBatch) -> RowColumns:
        columns, numbers = RowColumns(), list[int]()
        last_ns = self._last_ns
        for number, line in zip(batch.numbers, batch.lines, strict=True):
            try:
                row = self._read_row(number, line, last_ns)
            except TraceError as error:
                self._leave_out(error)
                continue
            if row is None:
                columns.num_failed += 1
                continue
            last_ns = last_ns if row.time_ns == NO_TIME else row.time_ns
            columns.append(row)
            numbers.append(number)
        self._leave_out_contradicting(columns, numbers)
        columns.lines = numbers
        return columns

    def _leave_out_contradicting(self, columns: RowColumns, numbers: list[int]) -> None:
        """Rows of which an id means what it did not mean before; `numbers` are those of their lines."""
        place = 0
        while True:
            flat = flat_ids(columns.prefixes)
            place = self._identity.take(columns.prefixes, columns.prompt_tokens, flat, place)
            if place == len(columns.prefixes):
                return
            index, told = self._identity.problem
            field_name = f"{self._reader.ids_field}[{index}]"
            self._leave_out(TraceError(self._path, numbers[place], field_name, told, _CONTRADICTION_FIX))
            columns.remove(place)
            del numbers[place]

    def _leave_out(self, error: TraceError) -> None:
        """Raise the error, unless bad rows are to be skipped."""
        if not self._skip_bad:
            raise error
        self._skipped.add_bad(error)

    def _read_row(self, number: int, line: str, last_ns: int) -> Row | None:
        check_line(self._path, number, line)
        try:
            row = self._reader.read_row(line)
            if row is not None and self._is_sorted and NO_TIME != row.time_ns < last_ns:
                problem = f"time runs back by {(last_ns - row.time_ns) / 1e9:g} s from the row before"
                raise BadRow(self._reader.time_field, problem, "sort the rows by time, or have them sorted by --sort")
        except BadRow as bad:
            raise TraceError(self._path, number, bad.field, bad.problem, bad.fix) from None
        return row


_CONTRADICTION_FIX: Final = (
    "so ids do not name all that stands before them: if they name the text of a block alone, say --block-ids text"
)


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
    if type(value) is not str or not are_class_names([value]):
        fix = f"give a name of at most {MAX_CLASS_CHARACTERS} printable characters, or leave the field out"
        raise BadRow(field_name, f"{shorten(value)} cannot name a class", fix)
    return intern(value)


def ids_fit(num_ids: int, prompt_tokens: int, tokens_per_id: int) -> bool:
    """Whether so many ids cover a prompt, or all of it but its end; no ids always do."""
    return num_ids == 0 or num_ids in (-(-prompt_tokens // tokens_per_id), prompt_tokens // tokens_per_id)


def refuse_ids(field_name: str, num_ids: int, form: RowFormat, prompt_tokens: int) -> NoReturn:
    """`BadRow` for ids that are too many or too few, with the tokens of an id that would fit."""
    tokens = form.tokens_per_id
    problem = f"{num_ids} ids do not fit {form.prompt_tokens} {prompt_tokens} at {tokens} tokens an id"
    fitting = [size for size in USUAL_SIZES if num_ids == -(-prompt_tokens // size)]
    mend = f"say --tokens-per-id {fitting[0]}" if fitting else "say what an id stands for by --tokens-per-id"
    raise BadRow(field_name, problem, f"give {-(-prompt_tokens // tokens)} ids, {mend}, or leave the field out")


def tenant_of(field_name: str, value: object, tenants: TenantNumbers) -> int:
    """The number of a tenant; else `BadRow`."""
    try:
        return tenants.number(value)
    except ValueError as error:
        raise BadRow(field_name, str(error), TENANT_FIX) from None


def turn_of(field_name: str, value: object) -> TurnKey:
    """What a turn is known by; else `BadRow`."""
    if value is None or type(value) in (str, int):
        return cast(TurnKey, value)
    raise BadRow(field_name, f"{shorten(value)} names no turn", "give a text or an integer, or leave the field out")


def named_classes(classes: list[str]) -> list[str]:
    """The same, or nothing if no row names a class."""
    return classes if any(classes) else []
