"""`open_trace`: the one way in for every format, with all that reshapes a trace applied in the order of its options."""

from __future__ import annotations

import math
from itertools import chain
from typing import TYPE_CHECKING

from msgspec.structs import replace

from scheduler.protocol.errors import ConfigError, InputError
from scheduler.runtime.random_streams import stream
from scheduler.sources.arrivals import BLOCK_TOKENS
from scheduler.sources.traces.files import open_rows, rows_wait
from scheduler.sources.traces.format import FORMATS, GeneratedFormat
from scheduler.sources.traces.lines import base_name, shown
from scheduler.sources.traces.options import OpenedTrace, Reading, SkippedRows, TraceOptions
from scheduler.sources.traces.shaping.timing import spread, window

# A file of rows needs no generator.
if TYPE_CHECKING:
    from scheduler.sources.clients.groups import ClientGroup
    from scheduler.sources.synthetic.workload import Workload


def open_trace(path: str, *, options: TraceOptions) -> OpenedTrace:
    """Open a trace file, a workload file (.yaml) or a folder of ServeGen clients, and read its first block.

    What the options say is applied in the order in which `TraceOptions` has it. InputError if it cannot be read at all;
    a later bad row raises from `blocks`.
    """
    form = _generated(path, options)
    if form is not None:
        _refuse_row_options(path, options)
        return open_workload(form.load(path), options)
    skipped = SkippedRows()
    reading, block_tokens, blocks = open_rows(path, options, skipped)
    trace = OpenedTrace(base_name(path), block_tokens, None, blocks, skipped, reading, path=shown(path))
    return _opened(trace, options)


def has_links(path: str, options: TraceOptions) -> bool:
    """Whether a trace says that its requests wait for others' ends, so that it is a closed loop unless the user says
    otherwise. InputError if it cannot be read at all."""
    form = _generated(path, options)
    return rows_wait(path) if form is None else form.waits(path)


def clients_of(path: str, options: TraceOptions) -> tuple[ClientGroup, ...]:
    """The clients that wait for answers, where a workload names them. ConfigError if it cannot be used."""
    form = _generated(path, options)
    return () if form is None else form.load(path).clients


def _refuse_row_options(path: str, options: TraceOptions) -> None:
    """A flag that would do nothing is a misunderstanding."""
    given = {
        "time-unit": options.time_unit,
        "block-ids": options.block_ids,
        "columns": options.columns,
        "output-length": options.output_length,
        "sort": options.sort,
        "strict": options.strict,
        "turns": options.turns,
        "tokens-per-id": None if options.assume_shared else options.tokens_per_id,
    }
    for name, value in given.items():
        if value:
            raise ConfigError(
                f"{name} is for files of requests, and those of {shown(path)} are generated; leave it out"
            )


def trace_start_ns(path: str, options: TraceOptions) -> int | None:
    """Nanoseconds since 1970 of the first request, if the trace says; for a trace that `open_trace` has opened."""
    return open_trace(path, options=replace(options, superpose=1, rate_scale=1.0)).reading.zero_ns


def open_workload(workload: Workload, options: TraceOptions) -> OpenedTrace:
    """The requests of a workload as a trace, in blocks of its own size, or else of that of the options."""
    from scheduler.sources.synthetic.generate import cut, generate

    block_tokens = workload.block_tokens or options.block_tokens or BLOCK_TOKENS
    num_requests, blocks = generate(workload, options.seed, block_tokens, has_links=options.links)
    if num_requests is not None:
        num_requests = min(num_requests, options.limit or num_requests)
    blocks, reading = cut(blocks, options.limit), Reading("generated")
    if not options.finds_answers:
        blocks = (replace(block, answers=[]) for block in blocks)
    skipped, clients = SkippedRows(), workload.clients
    trace = OpenedTrace(workload.name, block_tokens, num_requests, blocks, skipped, reading, clients=clients)
    return _opened(trace, options)


def _opened(trace: OpenedTrace, options: TraceOptions) -> OpenedTrace:
    """The trace as the options reshape it, its first block read."""
    blocks, block_tokens, reading, hint = trace.blocks, trace.block_tokens, trace.reading, trace.num_requests_hint
    # The first block is read now, so that a trace that is wrong from the start fails here and not in a running system.
    blocks = chain((next(blocks),), blocks)
    from_ns, until_ns = options.window_ns
    if from_ns or until_ns is not None:
        if options.links:
            problem = "from and until cut sessions in two, of which the later part would wait for what is gone"
            raise ConfigError(f"{trace.name}: {problem}; give whole sessions in a file, or say --sessions open")
        blocks, hint = window(blocks, from_ns, until_ns, trace.skipped, reading), None
        blocks = chain((next(blocks),), blocks)
    if options.spreading is not None:
        blocks = spread(blocks, options.spreading, reading.grid_ns, stream(options.seed, "spread"))
    if options.sharing is not None:
        from scheduler.sources.traces.shaping.assumed_sharing import ASSUMED_BLOCK_TOKENS, assume_shared

        block_tokens = options.tokens_per_id or ASSUMED_BLOCK_TOKENS
        reading.assumed.append(("assumed to be shared", f"{options.assume_shared}, blocks of {block_tokens}"))
        blocks = assume_shared(blocks, options.sharing, block_tokens, stream(options.seed, "assumed sharing"))
        blocks = chain((next(blocks),), blocks)
    if options.superpose > 1:
        from scheduler.sources.traces.shaping.copies import superpose

        blocks = superpose(blocks, options.superpose, options.seed)
    if not math.isclose(options.rate_scale, 1.0, rel_tol=0, abs_tol=0):
        from scheduler.sources.traces.shaping.copies import scale_rate

        blocks = scale_rate(blocks, options.rate_scale)
    hint = None if hint is None else hint * options.superpose
    if options.part_of is not None:
        from scheduler.sources.traces.shaping.parts import keep_part

        if options.links:
            problem = "part would leave out what later requests wait for"
            raise ConfigError(f"{trace.name}: {problem}; leave it out, or say --sessions open")
        blocks, hint = keep_part(blocks, *options.part_of, options.part_key_blocks), None
    return replace(trace, block_tokens=block_tokens, num_requests_hint=hint, blocks=blocks, reading=reading)


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
