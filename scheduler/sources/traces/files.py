"""Which format a file has, and its rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import Any, Final, cast

from scheduler.protocol.errors import TraceError
from scheduler.sources.arrivals import ArrivalBlock
from scheduler.sources.traces.csv_rows import CsvFormat, header_names
from scheduler.sources.traces.format import FORMATS
from scheduler.sources.traces.json_rows import JsonFormat
from scheduler.sources.traces.lines import LineBatch, check_line, read_batches, shown
from scheduler.sources.traces.options import SkippedRows, TraceOptions
from scheduler.sources.traces.rows import BadRow, RowReader, read_blocks

FileFormat = CsvFormat | JsonFormat

JSON_ENDINGS: Final = (".jsonl", ".json", ".ndjson")


def open_file(path: str, options: TraceOptions, skipped: SkippedRows) -> Iterator[ArrivalBlock]:
    """The rows of a trace file as they stand in it, up to `options.limit`; TraceError if it is empty or unknown."""
    _, reader, batches = _open(path, options)
    return read_blocks(shown(path), batches, reader, options, skipped)


def first_stamp_ns(path: str, options: TraceOptions) -> int | None:
    """Nanoseconds since 1970 of a file's first good row; None if its format counts from a zero of its own.

    For a file that can be opened (`open_file`).
    """
    form, reader, batches = _open(path, options)
    if isinstance(form, CsvFormat) and form.unit.is_wall_time:
        first = next(batches)
        for line in first.lines:
            with suppress(BadRow):  # left out by those who read all rows, if they go on at all
                row = reader.read_row(line)
                if row is not None:
                    return row.time_ns
    return None


def _open(path: str, options: TraceOptions) -> tuple[FileFormat, RowReader, Iterator[LineBatch]]:
    """The format, what reads its rows, and the lines that are rows; TraceError if the file is empty or unknown."""
    batches = (batch for batch in read_batches(path) if batch.lines)
    first = next(batches, None)
    if first is None:
        raise TraceError(shown(path), 0, "", "the file is empty", "give a trace with at least one request")
    form = _detect(path, first) if options.format is None else FORMATS.find(options.format)
    assert isinstance(form, FileFormat)
    reader, rows = form.open(shown(path), first)
    return form, reader, chain((rows,), batches)


def _detect(path: str, first: LineBatch) -> FileFormat:
    """The format by the first line, or by the path's ending if that line is spoilt."""
    line = first.lines[0]
    if line.lstrip().startswith("{"):
        return _json_format(first)
    csv_formats = {name: form for name, form in FORMATS.items() if isinstance(form, CsvFormat)}
    names = set(header_names(line))
    for form in csv_formats.values():
        if names.issuperset(form.columns):
            return form
    ending = path.removesuffix(".gz")
    if ending.endswith(JSON_ENDINGS):
        return _json_format(first)
    check_line(shown(path), first.numbers[0], line)
    headers = " or ".join(f"{','.join(form.columns)} ({name})" for name, form in csv_formats.items())
    if ending.endswith(".csv"):
        problem = "the header has not the columns of a known format"
        raise TraceError(shown(path), first.numbers[0], "header", problem, f"give {headers}")
    fix = f"give JSONL with one object a line, or CSV with the header {headers}"
    raise TraceError(shown(path), first.numbers[0], "", "no known trace format", fix)


def _json_format(first: LineBatch) -> JsonFormat:
    """The format of which the first object has the most keys; the first by name if no line is an object."""
    forms = [form for form in FORMATS.values() if isinstance(form, JsonFormat)]
    for line in first.lines:
        with suppress(ValueError, RecursionError):
            row: object = json.loads(line)
            if isinstance(row, dict):
                keys = cast(dict[str, Any], row).keys()
                return max(forms, key=lambda form: len(keys & set(form.columns)))
    return forms[0]
