"""Any trace to a file of any format of rows, compressed if the path ends in .gz.

What the format cannot hold is told: times below its unit, block ids, classes, tenants.
"""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

from msgspec import Struct

from scheduler.protocol.errors import ConfigError, InputError
from scheduler.sources.arrivals import Trace
from scheduler.sources.traces.csv_rows import CsvFormat
from scheduler.sources.traces.encoders import Encoder
from scheduler.sources.traces.format import FORMATS
from scheduler.sources.traces.json_rows import JsonFormat
from scheduler.sources.traces.lines import shown

COMPRESSION: Final = 6


class WrittenTrace(Struct, frozen=True):
    """What a file now holds. `lost`: what of the trace it does not. `tokens_per_id`: what each id of a prompt stands
    for; None if there are none in it."""

    path: str
    format: str
    requests: int
    span_s: float
    lost: tuple[str, ...] = ()
    tokens_per_id: int | None = None


def write_trace(trace: Trace, path: str, format_name: str | None = None) -> WrittenTrace:
    """Read a trace to its end into a file; without a format the path's ending tells (.jsonl or .csv, also .gz).

    The file appears when it is complete. InputError if it cannot be written or the format cannot hold the trace.
    """
    name = format_name or _format_of(path)
    form = FORMATS.get(name)
    if not isinstance(form, CsvFormat | JsonFormat):
        raise ConfigError(f"format {name!r} cannot be written; give one of {', '.join(writable())}")
    encoder = Encoder(form, trace.block_tokens, shown(path))
    requests = 0
    last_ns = 0
    with _replacing(path) as file:
        file.write(encoder.header)
        for block in trace.blocks:
            file.write("\n".join(encoder.lines(block)) + "\n")
            requests += len(block)
            last_ns = block.arrived_ns[-1]
    return WrittenTrace(path, name, requests, last_ns / 1e9, tuple(encoder.lost), encoder.tokens_per_id)


def writable() -> list[str]:
    """Names of the formats that can be written: all of rows."""
    return [name for name, form in FORMATS.items() if isinstance(form, CsvFormat | JsonFormat)]


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
