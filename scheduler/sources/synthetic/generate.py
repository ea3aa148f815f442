"""A workload to a stream of requests."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from msgspec.structs import replace

from scheduler.protocol.errors import ConfigError
from scheduler.runtime.random_streams import stream
from scheduler.sources.arrivals import BLOCK_ROWS, BLOCK_TOKENS, ArrivalBlock
from scheduler.sources.synthetic.arrivals import ArrivalClock
from scheduler.sources.synthetic.lengths import LengthSampler
from scheduler.sources.synthetic.servegen import ServeGenPool
from scheduler.sources.synthetic.sessions import session_blocks
from scheduler.sources.synthetic.workload import (
    IndependentRequests,
    ServeGenRequests,
    SessionRequests,
    Workload,
)
from scheduler.sources.traces.rows import NO_PREFIX


def generate(
    workload: Workload, seed: int, block_tokens: int = BLOCK_TOKENS
) -> tuple[int | None, Iterator[ArrivalBlock]]:
    """How many requests to expect, and the requests; times count from the first. Same seed, same requests.

    Ids of prompts stand for `block_tokens` tokens.
    """
    expected, blocks = _generate(workload, seed, block_tokens)
    return expected, _classed(blocks, workload.class_shares, seed) if workload.class_shares else blocks


def _generate(workload: Workload, seed: int, block_tokens: int) -> tuple[int | None, Iterator[ArrivalBlock]]:
    requests = workload.requests
    if isinstance(requests, ServeGenRequests):
        pool = ServeGenPool(requests)
        expected = pool.num_expected if workload.num_requests is None else workload.num_requests
        return expected, _not_empty(workload.name, cut(pool.blocks(seed), workload.num_requests))
    if isinstance(requests, SessionRequests):
        requests.check_blocks(block_tokens)
        return workload.num_requests, cut(session_blocks(requests, block_tokens, seed), workload.num_requests)
    expected = workload.num_requests
    if expected is None:
        expected = max(1, round(math.fsum(stage.num_expected for stage in requests.arrivals.stages)))
    return expected, cut(_independent_blocks(requests, seed), workload.num_requests)


def _classed(
    blocks: Iterator[ArrivalBlock], shares: tuple[tuple[str, float], ...], seed: int
) -> Iterator[ArrivalBlock]:
    """The same requests, each of a class that is drawn for it alone."""
    random = stream(seed, "classes")
    names = [name for name, _ in shares]
    bounds = np.cumsum([share for _, share in shares]) / sum(share for _, share in shares)
    for block in blocks:
        drawn = np.searchsorted(bounds[:-1], random.random(len(block)), side="right")
        numbers: list[int] = drawn.tolist()
        classes = [names[number] for number in numbers]
        yield replace(block, classes=classes)


def cut(blocks: Iterator[ArrivalBlock], num_rows: int | None) -> Iterator[ArrivalBlock]:
    """At most so many rows of a stream; None for all."""
    if num_rows is None:
        yield from blocks
        return
    rows_left = num_rows
    for block in blocks:
        yield block if len(block) <= rows_left else block.part(slice(rows_left))
        rows_left -= len(block)
        if rows_left <= 0:
            return


def _not_empty(name: str, blocks: Iterator[ArrivalBlock]) -> Iterator[ArrivalBlock]:
    first = next(blocks, None)
    if first is None:
        raise ConfigError(f"{name}: no client sends anything in this time; give another start_s or duration_s")
    yield first
    yield from blocks


def _independent_blocks(requests: IndependentRequests, seed: int) -> Iterator[ArrivalBlock]:
    clock = ArrivalClock(requests.arrivals, stream(seed, "arrivals"))
    prompts = LengthSampler(requests.prompt_tokens, stream(seed, "prompt_tokens"))
    outputs = LengthSampler(requests.output_tokens, stream(seed, "output_tokens"))
    prefixes = [NO_PREFIX] * BLOCK_ROWS
    tenants = [0] * BLOCK_ROWS
    origin_ns: int | None = None
    while not clock.has_ended:
        times_ns = clock.draw_ns(BLOCK_ROWS)
        num_rows = len(times_ns)
        if not num_rows:
            return
        if origin_ns is None:
            origin_ns = int(times_ns[0])
        yield ArrivalBlock(
            (times_ns - origin_ns).tolist(),
            prompts.draw(num_rows).tolist(),
            outputs.draw(num_rows).tolist(),
            prefixes[:num_rows],
            tenants[:num_rows],
        )
