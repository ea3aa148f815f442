"""Which format a file has, and its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain
from typing import Final

from scheduler.protocol.errors import TraceError
from scheduler.sources.arrivals import ArrivalBlock
from scheduler.sources.traces import azure, burstgpt
from scheduler.sources.traces.azure import AzureFormat
from scheduler.sources.traces.burstgpt import BurstGptFormat
from scheduler.sources.traces.csv_table import header_names
from scheduler.sources.traces.lines import LineBatch, check_line, read_batches, shown
from scheduler.sources.traces.mooncake import MooncakeFormat
from scheduler.sources.traces.options import SkippedRows, TraceOptions
from scheduler.sources.traces.rows import RowFormat, read_blocks

MOONCAKE: Final = "mooncake"
AZURE: Final = "azure"
CSV_FORMATS: Final[dict[str, tuple[tuple[str, ...], Callable[[str, int, str], RowFormat]]]] = {
    AZURE: (azure.COLUMNS, AzureFormat),
    "burstgpt": (burstgpt.COLUMNS, BurstGptFormat),
}
"""Columns by which a header is known, and what reads the rows below it (path, line number, header)."""

FILE_FORMATS: Final = (MOONCAKE, *CSV_FORMATS)
JSON_ENDINGS: Final = (".jsonl", ".json", ".ndjson")


def open_file(path: str, options: TraceOptions, skipped: SkippedRows) -> Iterator[ArrivalBlock]:
    """The rows of a trace file as they stand in it, up to `options.limit`; TraceError if it is empty or unknown."""
    batches = (batch for batch in read_batches(path) if batch.lines)
    first = next(batches, None)
    if first is None:
        raise TraceError(shown(path), 0, "", "the file is empty", "give a trace with at least one request")
    name = options.format or _sniff(path, first)
    if name == MOONCAKE:
        row_format: RowFormat = MooncakeFormat(shown(path))
    else:
        check_line(shown(path), first.numbers[0], first.lines[0])
        _, make = CSV_FORMATS[name]
        row_format = make(shown(path), first.numbers[0], first.lines[0])
        first = LineBatch(first.numbers[1:], first.lines[1:], first.suspect)
    return read_blocks(shown(path), chain((first,), batches), row_format, options, skipped)


def first_stamp_ns(path: str, options: TraceOptions) -> int | None:
    """Nanoseconds since 1970 of a file's first good row; None if its format counts from a zero of its own.

    For a file that can be opened (`open_file`).
    """
    for batch in read_batches(path):
        if not batch.lines:
            continue
        if (options.format or _sniff(path, batch)) != AZURE:
            return None
        row_format = AzureFormat(shown(path), batch.numbers[0], batch.lines[0])
        for number, line in zip(batch.numbers[1:], batch.lines[1:], strict=True):
            with suppress(TraceError):  # left out by those who read all rows, if they go on at all
                return row_format.read_row(number, line).time_ns
        return None
    return None


def _sniff(path: str, first: LineBatch) -> str:
    """The format by the first line, or by the path's ending if that line is spoilt."""
    line = first.lines[0]
    if line.lstrip().startswith("{"):
        return MOONCAKE
    names = header_names(line)
    for name, (columns, _) in CSV_FORMATS.items():
        if set(columns) <= set(names):
            return name
    ending = path.removesuffix(".gz")
    if ending.endswith(JSON_ENDINGS):
        return MOONCAKE
    check_line(shown(path), first.numbers[0], line)
    headers = " or ".join(f"{','.join(columns)} ({name})" for name, (columns, _) in CSV_FORMATS.items())
    if ending.endswith(".csv"):
        problem = "the header has not the columns of a known format"
        raise TraceError(shown(path), first.numbers[0], "header", problem, f"give {headers}")
    mend = f"give JSONL with one object a line, or CSV with the header {headers}"
    raise TraceError(shown(path), first.numbers[0], "", "no known trace format", mend)
