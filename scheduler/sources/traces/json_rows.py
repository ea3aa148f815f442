"""JSONL traces: a format names its keys, and every rule of its rows stands here once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, NoReturn, cast

from scheduler.protocol.catalog import shorten
from scheduler.sources.arrivals import BLOCK_TOKENS
from scheduler.sources.traces.lines import LineBatch
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

MAX_BLOCK_ID: Final = 2**40 - 1
MAX_TIME_NS: Final = 4 * 10**18
"""Times since 1970 fit (until the year 2096), and nanoseconds fit in 63 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonFormat:
    """Keys of the object on each line. `block_ids`, one id for each block of `BLOCK_TOKENS` prompt tokens, and
    `class_name`, a request class, may be absent from a row, and None if no row has any.

    Times are whole numbers of a unit. `unsupported`: keys of rows that cannot be replayed, each with the reason.
    """

    time: str
    unit: str
    ns_per_unit: int
    prompt_tokens: str
    output_tokens: str
    block_ids: str | None = None
    class_name: str | None = None
    unsupported: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def columns(self) -> tuple[str, str, str]:
        """Keys that every row has; by them a row is known."""
        return (self.time, self.prompt_tokens, self.output_tokens)

    def open(self, path: str, first: LineBatch) -> tuple[RowReader, LineBatch]:
        """What reads the rows, and the rows of the first batch: all of it."""
        return _JsonRows(self), first


class _JsonRows:
    """Rows of one file, as `RowReader` has them."""

    def __init__(self, form: JsonFormat) -> None:
        self.time_field: Final = form.time
        self._form: Final = form
        self._max_time: Final = MAX_TIME_NS // form.ns_per_unit
        self._decode = json.JSONDecoder(parse_constant=_refuse_constant).raw_decode

    def read_batch(self, lines: list[str]) -> RowColumns | None:
        """See `RowReader`."""
        form = self._form
        time, prompt, output = form.columns
        block_ids, class_name = form.block_ids, form.class_name
        try:
            decoded = list(map(self._decode, lines))
            if [end for _, end in decoded] != list(map(len, lines)):
                return None
            rows: list[dict[str | None, Any]] = [row for row, _ in decoded]
            times: list[int] = [row[time] for row in rows]
            prompt_tokens: list[int] = [row[prompt] for row in rows]
            output_tokens: list[int] = [row[output] for row in rows]
            prefixes: list[list[int]] = [row.get(block_ids, NO_PREFIX) for row in rows]
            classes: list[str] = [row.get(class_name, "") for row in rows]
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None
        good = (
            form.unsupported.keys().isdisjoint(chain.from_iterable(rows))
            and _all_integers(times, 0, self._max_time)
            and _all_integers(prompt_tokens, 1, MAX_TOKENS)
            and _all_integers(output_tokens, 1, MAX_TOKENS)
            and _prefixes_fit(prefixes, prompt_tokens)
            and are_class_names(classes)
        )
        if not good:
            return None
        times_ns = [time * form.ns_per_unit for time in times]
        return RowColumns(times_ns, prompt_tokens, output_tokens, prefixes, classes=named_classes(classes))

    def read_row(self, line: str) -> Row:
        """See `RowReader`."""
        form = self._form
        time, prompt, output = form.columns
        row = self._object(line)
        for name, problem in form.unsupported.items():
            if row.get(name) is not None:
                raise BadRow(name, problem, f"give rows with {time}, {prompt} and {output}")
        for name in form.columns:
            if name not in row:
                needed = f"every row needs {time} ({form.unit}), {prompt} and {output}"
                raise BadRow(name, "is missing", f"rows without it cannot be replayed: {needed}")
        when = integer(time, row[time], 0, self._max_time, row[time])
        prompt_tokens = integer(prompt, row[prompt], 1, MAX_TOKENS, row[prompt])
        output_tokens = integer(output, row[output], 1, MAX_TOKENS, row[output])
        class_name, prefix = row.get(form.class_name), NO_PREFIX
        if form.block_ids is not None and row.get(form.block_ids) is not None:
            prefix = self._prefix(form.block_ids, row[form.block_ids], prompt_tokens)
        if form.class_name is not None and class_name is not None:
            class_name = class_name_of(form.class_name, class_name)
        return Row(when * form.ns_per_unit, prompt_tokens, output_tokens, prefix, class_name or "")

    def _object(self, line: str) -> dict[str | None, Any]:
        time, prompt, output = self._form.columns
        try:
            row: object = json.loads(line, parse_constant=_refuse_constant)
        except json.JSONDecodeError as error:
            problem = f"not JSON ({error.msg} at character {error.colno})"
        except RecursionError:
            problem = "nested too deeply"
        except ValueError as error:
            # Constants such as NaN, and integers of more digits than Python converts.
            problem = f"not JSON ({str(error).split(';')[0]})"
        else:
            if isinstance(row, dict):
                return cast(dict[str | None, Any], row)
            problem = f"{shorten(row)} is not an object"
        raise BadRow("", problem, f'give one object a line, such as {{"{time}": 0, "{prompt}": 9, "{output}": 5}}')

    def _prefix(self, name: str, value: object, prompt_tokens: int) -> list[int]:
        if not isinstance(value, list):
            fix = "give a list of integers, or leave the field out"
            raise BadRow(name, f"{shorten(value)} is not a list", fix)
        prefix = cast(list[int], value)
        for index, block_id in enumerate(prefix):
            integer(f"{name}[{index}]", block_id, 0, MAX_BLOCK_ID, block_id)
        last_tokens = prompt_tokens - (len(prefix) - 1) * BLOCK_TOKENS
        if prefix and not 0 < last_tokens <= BLOCK_TOKENS:
            problem = f"{len(prefix)} ids do not fit {self._form.prompt_tokens} {prompt_tokens}"
            needed = f"{-(-prompt_tokens // BLOCK_TOKENS)} ids, one a block of {BLOCK_TOKENS} tokens"
            raise BadRow(name, problem, f"give {needed}, or leave the field out")
        return prefix


def _all_integers(values: list[int], low: int, high: int) -> bool:
    """Whether all are true integers (a bool is none) in low..high; at C speed."""
    return set(map(type, values)) == {int} and min(values) >= low and max(values) <= high


def _prefixes_fit(prefixes: list[list[int]], prompt_tokens: list[int]) -> bool:
    """Whether all are lists of ids in range, each empty or as long as its prompt has blocks; at C speed."""
    if set(map(type, prefixes)) != {list}:
        return False
    filled = list(filter(None, prefixes))
    if not filled:
        return True
    if set(map(type, chain.from_iterable(filled))) != {int}:
        return False
    if min(map(min, filled)) < 0 or max(map(max, filled)) > MAX_BLOCK_ID:
        return False
    needed = [-(-tokens // BLOCK_TOKENS) for tokens in prompt_tokens]
    counts = list(map(len, prefixes))
    return counts == needed or all(count in (0, need) for count, need in zip(counts, needed, strict=True))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
