"""CSV traces: a format names its columns, and every rule of its rows stands here once.

Columns are found by their names in the header, in any order. Cells are separated by commas, tabs or semicolons,
whichever the header has.
"""

from __future__ import annotations

import csv
from collections import Counter
from itertools import compress
from typing import Any, Final

from scheduler.protocol.catalog import shorten
from scheduler.protocol.errors import TraceError
from scheduler.sources.traces.identity import MAX_GIVEN_ID, flat_ids
from scheduler.sources.traces.lines import LineBatch, check_line
from scheduler.sources.traces.row_format import RowFormat
from scheduler.sources.traces.rows import (
    MAX_TOKENS,
    NO_PREFIX,
    BadRow,
    Row,
    RowColumns,
    RowReader,
    are_class_names,
    class_name_of,
    ids_fit,
    integer,
    named_classes,
    refuse_ids,
    tenant_of,
)
from scheduler.sources.traces.sessions.given import NO_TIME, GivenLinks
from scheduler.sources.traces.tenants import TenantNumbers
from scheduler.sources.traces.unread import FieldTally

DELIMITERS: Final = ",\t;"


class CsvFormat(RowFormat, frozen=True, kw_only=True):
    """Names of columns. Those that may be absent from a file may also have empty cells.

    `delimiter`: what separates cells in files that are written.
    """

    delimiter: str = ","

    def open(self, path: str, first: LineBatch, fields: FieldTally) -> tuple[RowReader, LineBatch]:
        """What reads the rows, and the rows of the first batch, whose first line is the header; a TraceError for a
        header that lacks a column."""
        number, header = first.numbers[0], first.lines[0]
        check_line(path, number, header)
        return _CsvRows(self, path, number, header, fields), LineBatch(
            first.numbers[1:], first.lines[1:], first.suspect
        )


def delimiter_of(header: str) -> str:
    """What separates the cells of a file."""
    return max(DELIMITERS, key=header.count)


def header_names(line: str) -> list[str]:
    """The names in a header line; empty if it is no CSV."""
    try:
        return [name.strip() for name in next(csv.reader([line], strict=True, delimiter=delimiter_of(line)))]
    except (csv.Error, StopIteration):
        return []


class _CsvRows:
    """Rows of one file, as `RowReader` has them."""

    def __init__(self, form: CsvFormat, path: str, number: int, header: str, fields: FieldTally) -> None:
        self.time_field: Final = form.time
        self.ids_field: Final = form.block_ids
        self.fields: Final = fields
        self._form: Final = form
        self._low: Final = 0 if form.logs_failures else 1
        self._delimiter: Final = delimiter_of(header)
        names = header_names(header)
        for name in form.columns:
            if names.count(name) > 1 or (name not in names and name in form.needed_columns):
                problem = "is not in the header" if name not in names else "stands twice in the header"
                fix = f"the header needs {', '.join(form.needed_columns)}; --columns names others"
                raise TraceError(path, number, name, problem, fix)
        # A column without a name numbers the rows.
        self._shape = tuple(name for name in names if name)
        unread = fields.unread_of(self._shape)
        if unread and fields.is_strict:
            fix = "leave the column out, name what it is by --columns, or leave --strict"
            raise TraceError(path, number, unread[0], "is not read", fix)
        self._width = len(names)
        self._places: Final = {name: names.index(name) for name in _names(form) if name in names}
        self._tenants: Final = TenantNumbers(reads_text=True)

    def read_batch(self, lines: list[str]) -> RowColumns | None:
        """See `RowReader`."""
        rows = [line.split(self._delimiter) for line in lines]
        if set(map(len, rows)) != {self._width}:
            return None
        columns = {name: [row[place] for row in rows] for name, place in self._places.items()}
        form, num_rows = self._form, len(rows)
        classes = columns.get(form.class_name, [])
        times_ns = form.unit.read_all(columns[form.time]) if form.time in columns else [NO_TIME] * num_rows
        prompt_tokens = to_counts(columns[form.prompt_tokens], self._low)
        output_tokens = self._outputs(columns.get(form.output_tokens), num_rows)
        if times_ns is None or prompt_tokens is None or output_tokens is None or not _are_plain(classes):
            return None
        cells = columns.get(form.tenant, [])
        tenants = self._tenants.number_all(cells) if cells and _are_plain(cells) else []
        prefixes = self._prefixes(columns.get(form.block_ids), prompt_tokens)
        if tenants is None or prefixes is None or (cells and not tenants):
            return None
        num_failed, kept = output_tokens.count(0), None
        given = self._given(columns, num_rows)
        if num_failed:
            kept = list(compress(range(num_rows), output_tokens))
            given = list(compress(given, output_tokens))
            times_ns = list(compress(times_ns, output_tokens))
            prompt_tokens = list(compress(prompt_tokens, output_tokens))
            classes = list(compress(classes, output_tokens))
            tenants = list(compress(tenants, output_tokens))
            prefixes = list(compress(prefixes, output_tokens))
            output_tokens = list(filter(None, output_tokens))
        if 0 in prompt_tokens:
            return None
        return RowColumns(
            times_ns,
            prompt_tokens,
            output_tokens,
            prefixes,
            num_failed=num_failed,
            classes=named_classes(classes),
            tenants=tenants,
            shapes=Counter({self._shape: num_rows}),
            flat=flat_ids(prefixes) if self._form.block_ids in columns else None,
            given=given,
            kept=kept,
        )

    def _given(self, columns: dict[str, list[str]], num_rows: int) -> list[GivenLinks]:
        """Of which session each row is, where that is asked for."""
        if not self._form.has_links:
            return []
        cells = columns.get(self._form.session, [""] * num_rows)
        return [GivenLinks(cell.strip(' "') or None) for cell in cells]

    def _outputs(self, cells: list[str] | None, num_rows: int) -> list[int] | None:
        if cells is not None:
            return to_counts(cells, self._low)
        return None if self._form.output_length is None else [self._form.output_length] * num_rows

    def _prefixes(self, cells: list[str] | None, prompt_tokens: list[int]) -> list[list[Any]] | None:
        if cells is None:
            return [NO_PREFIX] * len(prompt_tokens)
        prefixes = list(map(_ids_of, cells))
        sizes = [self._form.tokens_per_id] * len(cells)
        return prefixes if all(map(ids_fit, map(len, prefixes), prompt_tokens, sizes)) else None

    def read_row(self, line: str) -> Row | None:
        """See `RowReader`."""
        form = self._form
        cells = self._cells(line)
        try:
            time_ns = form.unit.read(cells[form.time]) if form.time in cells else NO_TIME
        except ValueError as error:
            raise BadRow(form.time, f"{shorten(cells[form.time])} {error}", form.unit.fix) from None
        output = cells.get(form.output_tokens, "")
        if not output and form.output_length is not None:
            output_tokens = form.output_length
        else:
            output_tokens = _count(form.output_tokens, output, self._low)
        prompt_tokens = _count(form.prompt_tokens, cells[form.prompt_tokens], 1 if output_tokens else 0)
        class_name = class_name_of(form.class_name, cells.get(form.class_name, ""))
        tenant = tenant_of(form.tenant, cells.get(form.tenant, ""), self._tenants)
        if not output_tokens:
            return None
        prefix = _ids_of(cells.get(form.block_ids, ""))
        for index, block_id in enumerate(prefix):
            if type(block_id) is int:
                integer(f"{form.block_ids}[{index}]", block_id, 0, MAX_GIVEN_ID, block_id)
        if not ids_fit(len(prefix), prompt_tokens, form.tokens_per_id):
            refuse_ids(form.block_ids, len(prefix), form, prompt_tokens)
        (given,) = self._given({form.session: [cells.get(form.session, "")]}, 1) or (None,)
        return Row(time_ns, prompt_tokens, output_tokens, prefix, class_name, tenant, shape=self._shape, given=given)

    def _cells(self, line: str) -> dict[str, str]:
        """Those that are read by name, spaces around them removed; quoted cells are understood."""
        cells = line.split(self._delimiter)
        # What the batch path takes as it stands is taken so here as well: quotes in unread columns mean nothing.
        if len(cells) != self._width or any('"' in cells[place] for place in self._places.values()):
            try:
                cells = next(csv.reader([line], strict=True, delimiter=self._delimiter))
            except (csv.Error, StopIteration) as error:
                raise BadRow("", f"not CSV ({error})", "give one row a line") from None
        if len(cells) != self._width:
            problem = f"the row has {len(cells)} cells, the header {self._width}"
            raise BadRow("", problem, "give every column of the header in every row")
        return {name: cells[place].strip() for name, place in self._places.items()}


def _names(form: CsvFormat) -> list[str]:
    roles = (form.time, form.prompt_tokens, form.output_tokens, form.block_ids, form.class_name, form.tenant)
    return [name for name in (*roles, form.session if form.has_links else "") if name]


def _ids_of(cell: str) -> list[Any]:
    """The ids in a cell: integers if all are, else texts; brackets and commas are those of a list."""
    for mark in '[],|"':
        cell = cell.replace(mark, " ")
    ids = cell.split()
    return [int(text[:25]) for text in ids] if all(text.isascii() and text.isdecimal() for text in ids) else ids


def _count(name: str, text: str, low: int) -> int:
    """A token count in low..`MAX_TOKENS`."""
    digits = text.removeprefix("-").removesuffix(".0")
    # Longer texts are out of range in any case, and Python refuses to convert very long ones.
    value = int(text.removesuffix(".0")[:20]) if digits.isascii() and digits.isdecimal() else None
    return integer(name, value, low, MAX_TOKENS, text)


def _are_plain(cells: list[str]) -> bool:
    """Whether all are names or empty, with nothing around them that a row by itself would be rid of."""
    names = set(cells)
    return are_class_names(cells) and not any('"' in name or name != name.strip() for name in names)


def to_counts(cells: list[str], low: int) -> list[int] | None:
    """All cells as token counts in low..`MAX_TOKENS`, at C speed; None if any is not plainly one."""
    text = "".join(cells)
    if "." in text:
        # Whole numbers with a point, as tables with empty cells are written by some programs.
        cells = [cell.removesuffix(".0") for cell in cells]
        text = "".join(cells)
    # Digits only: `int` alone would also take signs, spaces, underscores and the digits of other scripts.
    if not (text.isascii() and text.isdecimal() and max(map(len, cells)) <= len(str(MAX_TOKENS))):
        return None
    try:
        counts = list(map(int, cells))
    except ValueError:
        return None
    return counts if min(counts) >= low and max(counts) <= MAX_TOKENS else None
