"""Any trace to a file: Mooncake JSONL or Azure CSV, compressed if the path ends in .gz.

Mooncake keeps prompt and output tokens, block ids and classes, and times to the millisecond; Azure CSV keeps tokens,
and times to 100 ns, but neither block ids nor classes. Times are rounded down, so their order stays. Tenants go
into the block ids.
"""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Final, TextIO

from scheduler.protocol.errors import ConfigError, InputError
from scheduler.sources.arrivals import ArrivalBlock, Trace
from scheduler.sources.traces.formats.azure import AZURE
from scheduler.sources.traces.formats.mooncake import NS_PER_MS
from scheduler.sources.traces.json_rows import MAX_BLOCK_ID
from scheduler.sources.traces.lines import shown

TENANT_IDS: Final = 2**28
"""Block ids of one tenant in a written file; tenant k begins at k times this."""

MAX_TENANTS: Final = (MAX_BLOCK_ID + 1) // TENANT_IDS

FIRST_DAY: Final = date(2024, 1, 1)
"""Azure rows carry wall times; a written trace begins at midnight of this day."""

TICKS_PER_S: Final = 10**7
SECONDS_PER_DAY: Final = 86_400
COMPRESSION: Final = 6

Encoder = Callable[[ArrivalBlock], Iterator[str]]


@dataclass(frozen=True, slots=True)
class WrittenTrace:
    """What a file now holds. `tokens_per_id`: what each id of a prompt stands for; None if there are none in it."""

    path: str
    format: str
    requests: int
    span_s: float
    tokens_per_id: int | None = None


def write_trace(trace: Trace, path: str, format_name: str | None = None) -> WrittenTrace:
    """Read a trace to its end into a file; without a format the path's ending tells (.jsonl or .csv, also .gz).

    The file appears when it is complete. InputError if it cannot be written or the format cannot hold the trace.
    """
    name = format_name or _format_of(path)
    if name not in WRITERS:
        raise ConfigError(f"format {name!r} cannot be written; give one of {', '.join(WRITERS)}")
    encode = WRITERS[name](path)
    requests = 0
    last_ns = 0
    has_ids = False
    with _replacing(path) as file:
        if name == "azure":
            file.write(",".join(AZURE.columns) + "\n")
        for block in trace.blocks:
            file.write("\n".join(encode(block)) + "\n")
            requests += len(block)
            has_ids = has_ids or (name == "mooncake" and any(block.prefixes))
            last_ns = block.arrived_ns[-1]
    return WrittenTrace(path, name, requests, last_ns / 1e9, trace.block_tokens if has_ids else None)


def _format_of(path: str) -> str:
    ending = Path(path.removesuffix(".gz")).suffix
    if ending in (".jsonl", ".json"):
        return "mooncake"
    if ending == ".csv":
        return "azure"
    raise ConfigError(
        f"{shown(path)}: the ending tells no format; end it in .jsonl or .csv (and .gz), or name a format"
    )


@contextmanager
def _replacing(path: str) -> Generator[TextIO, None, None]:
    """A text file beside the wanted one, put in its place when all is written and removed when something fails."""
    part = f"{path}.part"
    try:
        with open(part, "wb") as raw:
            if path.endswith(".gz"):
                # No name and no time in the header, so that equal traces give equal bytes.
                with (
                    gzip.GzipFile("", "wb", COMPRESSION, raw, mtime=0) as zipped,
                    io.TextIOWrapper(zipped, encoding="ascii", newline="\n") as text,
                ):
                    yield text
            else:
                with io.TextIOWrapper(raw, encoding="ascii", newline="\n") as text:
                    yield text
        os.replace(part, path)
    except OSError as error:
        raise InputError(f"{shown(path)}: {error.strerror or error}; give a path that can be written") from None
    finally:
        Path(part).unlink(missing_ok=True)


class _MooncakeEncoder:
    """Rows as JSON lines."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._has_tenants = False
        self._has_large_ids = False

    def __call__(self, block: ArrivalBlock) -> Iterator[str]:
        self._check(block)
        classes = [f', "class": {json.dumps(name)}' if name else "" for name in block.class_names]
        tokens = (block.prompt_tokens, block.output_tokens)
        for time_ns, prompt, output, prefix, tenant, named in zip(
            block.arrived_ns, *tokens, block.prefixes, block.tenants, classes, strict=True
        ):
            if not prefix:
                ids = ""
            else:
                # The text of a list of integers is JSON.
                base = tenant * TENANT_IDS
                ids = f', "hash_ids": {[base + block_id for block_id in prefix] if base else prefix}'
            time_ms = time_ns // NS_PER_MS
            yield f'{{"timestamp": {time_ms}, "input_length": {prompt}, "output_length": {output}{ids}{named}}}'

    def _check(self, block: ArrivalBlock) -> None:
        """InputError if ids of this block and those before cannot stand in one file."""
        if not any(block.prefixes):
            return
        self._has_tenants |= any(block.tenants)
        self._has_large_ids |= max(chain.from_iterable(block.prefixes)) >= TENANT_IDS
        too_many = max(block.tenants) >= MAX_TENANTS
        if too_many or (self._has_tenants and self._has_large_ids):
            problem = f"block ids of {max(block.tenants) + 1} tenants do not fit one file"
            fix = f"write at most {MAX_TENANTS} copies of a trace whose ids are below {TENANT_IDS}"
            raise InputError(f"{shown(self._path)}: {problem}; {fix}")


class _AzureEncoder:
    """Rows as CSV lines with wall times from midnight of `FIRST_DAY`."""

    def __init__(self, path: str) -> None:
        self._day = -1
        self._day_text = ""

    def __call__(self, block: ArrivalBlock) -> Iterator[str]:
        for time_ns, prompt, output in zip(block.arrived_ns, block.prompt_tokens, block.output_tokens, strict=True):
            seconds, tick = divmod(time_ns // 100, TICKS_PER_S)
            day, second = divmod(seconds, SECONDS_PER_DAY)
            if day != self._day:
                self._day = day
                self._day_text = date.fromordinal(FIRST_DAY.toordinal() + day).isoformat()
            clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.{tick:07}"
            yield f"{self._day_text} {clock},{prompt},{output}"


WRITERS: Final[dict[str, Callable[[str], Encoder]]] = {"mooncake": _MooncakeEncoder, "azure": _AzureEncoder}
