"""`open_trace`: the one way in for every format, with limit, superposition and rate scale applied."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from scheduler.protocol.errors import InputError
from scheduler.sources.arrivals import BLOCK_TOKENS, ArrivalBlock
from scheduler.sources.traces.files import first_stamp_ns, open_file
from scheduler.sources.traces.format import FORMATS, GeneratedFormat
from scheduler.sources.traces.lines import base_name, shown
from scheduler.sources.traces.options import OpenedTrace, SkippedRows, TraceOptions
from scheduler.sources.traces.reshape import scale_rate, superpose

# A file of rows needs no generator.
if TYPE_CHECKING:
    from scheduler.sources.synthetic.workload import Workload


def open_trace(path: str, *, options: TraceOptions) -> OpenedTrace:
    """Open a trace file, a workload file (.yaml) or a folder of ServeGen clients, and read its first block.

    Limit, superposition and rate scale are applied in this order. InputError if it cannot be read at all; a later bad
    row raises from `blocks`.
    """
    form = _generated(path, options)
    if form is not None:
        return open_workload(form.load(path), options)
    skipped = SkippedRows()
    return _opened(base_name(path), BLOCK_TOKENS, None, open_file(path, options, skipped), options, skipped)


def trace_start_ns(path: str, options: TraceOptions) -> int | None:
    """Nanoseconds since 1970 of the first request, if the trace says; for a trace that `open_trace` has opened."""
    return None if _generated(path, options) is not None else first_stamp_ns(path, options)


def open_workload(workload: Workload, options: TraceOptions) -> OpenedTrace:
    """The requests of a workload as a trace, in blocks of its own size, or else of that of the options."""
    from scheduler.sources.synthetic.generate import cut, generate

    block_tokens = workload.block_tokens or options.block_tokens or BLOCK_TOKENS
    num_requests, blocks = generate(workload, options.seed, block_tokens)
    if num_requests is not None:
        num_requests = min(num_requests, options.limit or num_requests)
    return _opened(workload.name, block_tokens, num_requests, cut(blocks, options.limit), options, SkippedRows())


def _opened(
    name: str,
    block_tokens: int,
    num_rows: int | None,
    blocks: Iterator[ArrivalBlock],
    options: TraceOptions,
    skipped: SkippedRows,
) -> OpenedTrace:
    # The first block is read now, so that a trace that is wrong from the start fails here and not in a running system.
    blocks = chain((next(blocks),), blocks)
    if options.superpose > 1:
        blocks = superpose(blocks, options.superpose, options.seed)
    if not math.isclose(options.rate_scale, 1.0, rel_tol=0, abs_tol=0):
        blocks = scale_rate(blocks, options.rate_scale)
    hint = None if num_rows is None else num_rows * options.superpose
    return OpenedTrace(name, block_tokens, hint, blocks, skipped)


def _generated(path: str, options: TraceOptions) -> GeneratedFormat | None:
    """The format that was asked for or that the path shows, if its requests are generated; None for a file of rows."""
    if not path:
        raise InputError("the path of the trace is empty; give the path of a trace")
    if "\0" in path:
        raise InputError(f"{shown(path)}: no path holds a NUL; give the path of a trace")
    if options.format is not None:
        form = FORMATS.find(options.format)
        return form if isinstance(form, GeneratedFormat) else None
    generated = (form for form in FORMATS.values() if isinstance(form, GeneratedFormat))
    return next((form for form in generated if form.takes(path)), None)
