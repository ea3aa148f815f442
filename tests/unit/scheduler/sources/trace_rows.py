"""Builders and flatteners that the tests of sources share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scheduler.sources.arrivals import ArrivalBlock, Trace
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import open_trace


@dataclass(frozen=True)
class Request:
    """One row of a trace, whatever block it came in."""

    arrived_ns: int
    prompt_tokens: int = 1
    output_tokens: int = 1
    prefix: tuple[int, ...] = ()
    tenant: int = 0
    class_name: str = ""


def requests_of(blocks: Iterable[ArrivalBlock]) -> list[Request]:
    """All rows of a stream of blocks, whose columns must be of one length."""
    return [
        Request(arrived_ns, prompt, output, tuple(prefix), tenant, class_name)
        for block in blocks
        for arrived_ns, prompt, output, prefix, tenant, class_name in zip(
            block.arrived_ns,
            block.prompt_tokens,
            block.output_tokens,
            block.prefixes,
            block.tenants,
            block.class_names,
            strict=True,
        )
    ]


def block_of(requests: Sequence[Request]) -> ArrivalBlock:
    """One block of these rows."""
    return ArrivalBlock(
        [request.arrived_ns for request in requests],
        [request.prompt_tokens for request in requests],
        [request.output_tokens for request in requests],
        [list(request.prefix) for request in requests],
        [request.tenant for request in requests],
        [request.class_name for request in requests] if any(request.class_name for request in requests) else [],
    )


def trace_of(*blocks: Sequence[Request]) -> Trace:
    """A trace of these blocks."""
    return Trace("made", 512, None, iter([block_of(requests) for requests in blocks]))


def read(path: Path | str, options: TraceOptions | None = None) -> list[Request]:
    """All rows of a trace file."""
    return requests_of(open_trace(str(path), options=options or TraceOptions()).blocks)


def mooncake_line(timestamp: object = 0, prompt: object = 600, output: object = 5, **more: object) -> str:
    """One Mooncake row; `hash_ids` and whatever else by keyword."""
    return json.dumps({"timestamp": timestamp, "input_length": prompt, "output_length": output, **more})


def write_lines(path: Path, *lines: str) -> Path:
    """A text file of these lines."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
