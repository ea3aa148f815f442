"""`open_trace`: the one way in for every format, with limit, superposition and rate scale applied."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scheduler.protocol.errors import ConfigError, InputError
from scheduler.sources.arrivals import BLOCK_TOKENS, ArrivalBlock
from scheduler.sources.traces.files import FILE_FORMATS, first_stamp_ns, open_file
from scheduler.sources.traces.lines import base_name, shown
from scheduler.sources.traces.options import OpenedTrace, SkippedRows, TraceOptions
from scheduler.sources.traces.reshape import scale_rate, superpose

# Generators are imported where one is asked for: a replay of a file should not pay for them.
if TYPE_CHECKING:
    from scheduler.sources.synthetic.workload import Workload

WORKLOAD: Final = "workload"
SERVEGEN: Final = "servegen"
FORMATS: Final = (*FILE_FORMATS, WORKLOAD, SERVEGEN)
WORKLOAD_ENDINGS: Final = (".yaml", ".yml")


def open_trace(path: str, *, options: TraceOptions) -> OpenedTrace:
    """Open a trace file, a workload file (.yaml) or a folder of ServeGen clients, and read its first block.

    Limit, superposition and rate scale are applied in this order. InputError if it cannot be read at all; a later bad
    row raises from `blocks`.
    """
    name = _format_of(path, options)
    if name == WORKLOAD:
        from scheduler.sources.synthetic.load import load_workload

        return open_workload(load_workload(path), options)
    if name == SERVEGEN:
        from scheduler.sources.synthetic.workload import ServeGenRequests, Workload

        return open_workload(Workload(base_name(path), ServeGenRequests(path)), options)
    skipped = SkippedRows()
    return _opened(base_name(path), None, open_file(path, options, skipped), options, skipped)


def trace_start_ns(path: str, options: TraceOptions) -> int | None:
    """Nanoseconds since 1970 of the first request, if the trace says; for a trace that `open_trace` has opened."""
    if _format_of(path, options) in (WORKLOAD, SERVEGEN):
        return None
    return first_stamp_ns(path, options)


def open_workload(workload: Workload, options: TraceOptions) -> OpenedTrace:
    """The requests of a workload as a trace."""
    from scheduler.sources.synthetic.generate import cut, generate

    num_requests, blocks = generate(workload, options.seed)
    if num_requests is not None:
        num_requests = min(num_requests, options.limit or num_requests)
    return _opened(workload.name, num_requests, cut(blocks, options.limit), options, SkippedRows())


def _opened(
    name: str, num_rows: int | None, blocks: Iterator[ArrivalBlock], options: TraceOptions, skipped: SkippedRows
) -> OpenedTrace:
    # The first block is read now, so that a trace that is wrong from the start fails here and not in a running system.
    blocks = chain((next(blocks),), blocks)
    if options.superpose > 1:
        blocks = superpose(blocks, options.superpose, options.seed)
    if not math.isclose(options.rate_scale, 1.0, rel_tol=0, abs_tol=0):
        blocks = scale_rate(blocks, options.rate_scale)
    hint = None if num_rows is None else num_rows * options.superpose
    return OpenedTrace(name, BLOCK_TOKENS, hint, blocks, skipped)


def _format_of(path: str, options: TraceOptions) -> str | None:
    """The format that was asked for or that the path shows; None if the first line must tell."""
    if not path:
        raise InputError("the path of the trace is empty; give the path of a trace")
    if "\0" in path:
        raise InputError(f"{shown(path)}: no path holds a NUL; give the path of a trace")
    if options.format is not None:
        if options.format not in FORMATS:
            near = difflib.get_close_matches(options.format, FORMATS)
            hint = f" (did you mean {' or '.join(near)}?)" if near else ""
            raise ConfigError(f"format {options.format!r} is not known; known: {', '.join(FORMATS)}{hint}")
        return options.format
    if path.endswith(WORKLOAD_ENDINGS):
        return WORKLOAD
    return SERVEGEN if Path(path).is_dir() else None
