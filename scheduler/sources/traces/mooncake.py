"""Mooncake JSONL and the part of its AIPerf superset that is a fixed schedule of token counts.

Fields: `timestamp` (ms), `input_length`, `output_length` (tokens), `hash_ids` (one id a block of 512 prompt tokens,
may be absent), and this project's own `class`, the name of a request class (may be absent). Sources:
kvcache-ai/Mooncake, FAST25-release/README.md; ai-dynamo/aiperf, docs/benchmark-modes/trace-replay.md.
"""

from __future__ import annotations

import json
import sys
from itertools import chain
from typing import Any, Final, NoReturn, cast

from scheduler.protocol.errors import TraceError
from scheduler.sources.arrivals import BLOCK_TOKENS
from scheduler.sources.traces.rows import (
    MAX_TOKENS,
    NO_PREFIX,
    Row,
    RowColumns,
    all_integers,
    check_integer,
    shorten,
)

MAX_HASH_ID: Final = 2**40 - 1
MAX_TIMESTAMP_MS: Final = 4 * 10**12
"""Milliseconds since 1970 fit (until the year 2096), and nanoseconds of it fit in 63 bits."""

NS_PER_MS: Final = 1_000_000
MAX_CLASS_CHARACTERS: Final = 40

UNSUPPORTED: Final = {
    "text_input": "prompts as text are not supported: the trace replays token counts",
    "messages": "prompts as messages are not supported: the trace replays token counts",
    "delay": "a delay after the previous turn (closed loop) is not supported: the trace replays fixed times",
    "delay_ms": "a delay after the previous turn (closed loop) is not supported: the trace replays fixed times",
}


class MooncakeFormat:
    """Rows of one JSONL file."""

    time_field = "timestamp"

    def __init__(self, path: str) -> None:
        self._path = path
        self._decode = json.JSONDecoder(parse_constant=_refuse_constant).raw_decode

    def read_batch(self, lines: list[str]) -> RowColumns | None:
        """See `RowFormat`."""
        try:
            decoded = list(map(self._decode, lines))
            if [end for _, end in decoded] != list(map(len, lines)):
                return None
            rows: list[dict[str, Any]] = [row for row, _ in decoded]
            times_ms: list[int] = [row["timestamp"] for row in rows]
            prompt_tokens: list[int] = [row["input_length"] for row in rows]
            output_tokens: list[int] = [row["output_length"] for row in rows]
            prefixes: list[list[int]] = [row.get("hash_ids", NO_PREFIX) for row in rows]
            classes: list[str] = [row.get("class", "") for row in rows]
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None
        good = (
            UNSUPPORTED.keys().isdisjoint(chain.from_iterable(rows))
            and all_integers(times_ms, 0, MAX_TIMESTAMP_MS)
            and all_integers(prompt_tokens, 1, MAX_TOKENS)
            and all_integers(output_tokens, 1, MAX_TOKENS)
            and _prefixes_fit(prefixes, prompt_tokens)
            and _classes_fit(classes)
        )
        if not good:
            return None
        times_ns = [time_ms * NS_PER_MS for time_ms in times_ms]
        named = classes if any(classes) else []
        return RowColumns(times_ns, prompt_tokens, output_tokens, prefixes, classes=named)

    def read_row(self, number: int, line: str) -> Row:
        """See `RowFormat`."""
        row = self._read_object(number, line)
        for name, problem in UNSUPPORTED.items():
            if row.get(name) is not None:
                mend = "give rows with timestamp, input_length and output_length"
                raise TraceError(self._path, number, name, problem, mend)
        time_ms = self._read_integer(row, number, "timestamp", 0, MAX_TIMESTAMP_MS)
        prompt_tokens = self._read_integer(row, number, "input_length", 1, MAX_TOKENS)
        output_tokens = self._read_integer(row, number, "output_length", 1, MAX_TOKENS)
        prefix = self._read_prefix(row.get("hash_ids"), number, prompt_tokens)
        class_name = self._read_class(row.get("class"), number)
        return Row(time_ms * NS_PER_MS, prompt_tokens, output_tokens, prefix, class_name)

    def _read_object(self, number: int, line: str) -> dict[str, Any]:
        mend = 'give one object a line, such as {"timestamp": 0, "input_length": 9, "output_length": 5}'
        try:
            row: object = json.loads(line, parse_constant=_refuse_constant)
        except json.JSONDecodeError as error:
            problem = f"not JSON ({error.msg} at character {error.colno})"
            raise TraceError(self._path, number, "", problem, mend) from None
        except RecursionError:
            raise TraceError(self._path, number, "", "nested too deeply", mend) from None
        except ValueError as error:
            # Constants such as NaN, and integers of more digits than Python converts.
            raise TraceError(self._path, number, "", f"not JSON ({str(error).split(';')[0]})", mend) from None
        if not isinstance(row, dict):
            raise TraceError(self._path, number, "", f"{shorten(row)} is not an object", mend)
        return cast(dict[str, Any], row)

    def _read_integer(self, row: dict[str, Any], number: int, name: str, low: int, high: int) -> int:
        if name not in row:
            mend = "rows without it cannot be replayed: every row needs timestamp (ms), input_length and output_length"
            raise TraceError(self._path, number, name, "is missing", mend)
        return check_integer(self._path, number, name, row[name], low, high)

    def _read_class(self, value: object, number: int) -> str:
        if value is None:
            return ""
        if not isinstance(value, str) or not _classes_fit([value]):
            mend = f"give a name of at most {MAX_CLASS_CHARACTERS} printable characters, or leave the field out"
            raise TraceError(self._path, number, "class", f"{shorten(value)} cannot name a class", mend)
        return sys.intern(value)

    def _read_prefix(self, value: object, number: int, prompt_tokens: int) -> list[int]:
        if value is None:
            return NO_PREFIX
        if not isinstance(value, list):
            mend = "give a list of integers, or leave the field out"
            raise TraceError(self._path, number, "hash_ids", f"{shorten(value)} is not a list", mend)
        prefix = cast(list[int], value)
        for index, hash_id in enumerate(prefix):
            check_integer(self._path, number, f"hash_ids[{index}]", hash_id, 0, MAX_HASH_ID)
        last_tokens = prompt_tokens - (len(prefix) - 1) * BLOCK_TOKENS
        if prefix and not 0 < last_tokens <= BLOCK_TOKENS:
            needed = -(-prompt_tokens // BLOCK_TOKENS)
            problem = f"{len(prefix)} ids do not fit input_length {prompt_tokens}"
            mend = f"give {needed} ids, one a block of {BLOCK_TOKENS} tokens, or leave the field out"
            raise TraceError(self._path, number, "hash_ids", problem, mend)
        return prefix


def _prefixes_fit(prefixes: list[list[int]], prompt_tokens: list[int]) -> bool:
    """Whether all are lists of ids in range, each empty or as long as its prompt has blocks; at C speed."""
    if set(map(type, prefixes)) != {list}:
        return False
    filled = list(filter(None, prefixes))
    if not filled:
        return True
    if set(map(type, chain.from_iterable(filled))) != {int}:
        return False
    if min(map(min, filled)) < 0 or max(map(max, filled)) > MAX_HASH_ID:
        return False
    needed = [-(-tokens // BLOCK_TOKENS) for tokens in prompt_tokens]
    counts = list(map(len, prefixes))
    return counts == needed or all(count in (0, need) for count, need in zip(counts, needed, strict=True))


def _classes_fit(classes: list[str]) -> bool:
    """Whether all are texts that may name a class, empty for none; a trace has few names, so each is looked at once."""
    if set(map(type, classes)) != {str}:
        return False
    return all(len(name) <= MAX_CLASS_CHARACTERS and (name.isprintable() or not name) for name in set(classes))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
