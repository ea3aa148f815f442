"""BurstGPT CSV: seconds from midnight of the first day, token counts, and failures as rows of 0 response tokens.

Columns `Timestamp`, `Request tokens`, `Response tokens`, looked up by name because releases differ in the others.
Source: github.com/HPMLL/BurstGPT, README of release v1.2.
"""

from __future__ import annotations

from itertools import compress
from typing import Final

from scheduler.protocol.errors import TraceError
from scheduler.sources.traces.csv_table import CsvTable
from scheduler.sources.traces.rows import NO_PREFIX, Row, RowColumns, shorten

COLUMNS: Final = ("Timestamp", "Request tokens", "Response tokens")

NS_PER_S: Final = 1_000_000_000
MAX_SECOND_DIGITS: Final = 9
"""Seconds of at most nine digits (31 years): their nanoseconds fit in 63 bits."""


class BurstGptFormat:
    """Rows of one BurstGPT CSV file."""

    time_field = "Timestamp"

    def __init__(self, path: str, number: int, header: str) -> None:
        self._table = CsvTable(path, number, header, COLUMNS)

    def read_batch(self, lines: list[str]) -> RowColumns | None:
        """See `RowFormat`."""
        columns = self._table.read_batch(lines, _seconds_to_ns, 0)
        if columns is None:
            return None
        times_ns, prompt_tokens, output_tokens = columns
        num_failed = output_tokens.count(0)
        if num_failed:
            times_ns = list(compress(times_ns, output_tokens))
            prompt_tokens = list(compress(prompt_tokens, output_tokens))
            output_tokens = list(filter(None, output_tokens))
        if 0 in prompt_tokens:
            return None
        return RowColumns(times_ns, prompt_tokens, output_tokens, [NO_PREFIX] * len(times_ns), num_failed)

    def read_row(self, number: int, line: str) -> Row | None:
        """See `RowFormat`."""
        time_text, prompt_text, output_text = self._table.split_row(number, line)
        try:
            time_ns = second_to_ns(time_text)
        except ValueError:
            mend = f"give seconds such as 45 or 45.5, at most {MAX_SECOND_DIGITS} digits before the point"
            problem = f"{shorten(time_text)} is not a number of seconds"
            raise TraceError(self._table.path, number, COLUMNS[0], problem, mend) from None
        output_tokens = self._table.read_count(number, COLUMNS[2], output_text, 0)
        prompt_tokens = self._table.read_count(number, COLUMNS[1], prompt_text, 1 if output_tokens else 0)
        return Row(time_ns, prompt_tokens, output_tokens, NO_PREFIX) if output_tokens else None


def second_to_ns(text: str) -> int:
    """Exact nanoseconds of a decimal number of seconds; digits after the ninth are dropped. ValueError else."""
    whole, point, fraction = text.partition(".")
    if not (text.isascii() and whole.isdecimal() and len(whole) <= MAX_SECOND_DIGITS):
        raise ValueError(text)
    if point and not fraction.isdecimal():
        raise ValueError(text)
    return int(whole) * NS_PER_S + int(fraction[:9].ljust(9, "0"))


def _seconds_to_ns(cells: list[str]) -> list[int] | None:
    text = "".join(cells)
    if text.isascii() and text.isdecimal() and min(map(len, cells)) >= 1 and max(map(len, cells)) <= MAX_SECOND_DIGITS:
        return [int(cell) * NS_PER_S for cell in cells]
    try:
        return list(map(second_to_ns, cells))
    except ValueError:
        return None
