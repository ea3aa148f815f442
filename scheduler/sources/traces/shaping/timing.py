"""What is done to the times of rows after they were read: order, window, spreading. All but the order stream."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from scheduler.protocol.errors import InputError
from scheduler.sources.arrivals import BLOCK_ROWS, ArrivalBlock
from scheduler.sources.traces.options import Reading, SkippedRows, Spreading

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def in_time_order(blocks: Iterator[ArrivalBlock]) -> Iterator[ArrivalBlock]:
    """The rows by time, equal times as they came. Reads all of them first."""
    whole = list(blocks)
    if _in_order(whole):
        yield from whole
        return
    rows = whole[0]
    for block in whole[1:]:
        rows.extend(block)
    order: list[int] = np.argsort(np.array(rows.arrived_ns, np.int64), kind="stable").tolist()
    for start in range(0, len(order), BLOCK_ROWS):
        yield rows.chosen(order[start : start + BLOCK_ROWS])


def _in_order(blocks: list[ArrivalBlock]) -> bool:
    last_ns = 0
    for block in blocks:
        if block.arrived_ns[0] < last_ns or block.arrived_ns != sorted(block.arrived_ns):
            return False
        last_ns = block.arrived_ns[-1]
    return True


def from_first(blocks: Iterator[ArrivalBlock]) -> Iterator[ArrivalBlock]:
    """Times counted from the first row."""
    origin_ns: int | None = None
    for block in blocks:
        if origin_ns is None:
            origin_ns = block.arrived_ns[0]
        yield replace(block, arrived_ns=[time_ns - origin_ns for time_ns in block.arrived_ns])


def window(
    blocks: Iterator[ArrivalBlock], from_ns: int, until_ns: int | None, skipped: SkippedRows, reading: Reading
) -> Iterator[ArrivalBlock]:
    """The rows from `from_ns` on and before `until_ns`, times counted from the first of them.

    Those before are counted; what comes after is not read.
    """
    first_ns: int | None = None
    last_ns = 0
    for block in blocks:
        times_ns = block.arrived_ns
        last_ns = times_ns[-1]
        low = bisect_left(times_ns, from_ns)
        high = len(times_ns) if until_ns is None else bisect_left(times_ns, until_ns)
        skipped.num_outside += low
        if low < high:
            if first_ns is None:
                first_ns = times_ns[low]
                if reading.zero_ns is not None:
                    reading.zero_ns += first_ns
            part = block.part(slice(low, high))
            yield replace(part, arrived_ns=[time_ns - first_ns for time_ns in part.arrived_ns])
        if high < len(times_ns):
            break
    if first_ns is None:
        end = "" if until_ns is None else f" and before {until_ns / 1e9:g} s"
        raise InputError(
            f"no request from {from_ns / 1e9:g} s on{end}: those that were read reach to {last_ns / 1e9:g} s; "
            "give another --from or --until, or a larger --limit if there is one"
        )


def spread(
    blocks: Iterator[ArrivalBlock], how: Spreading, unit_ns: int, generator: np.random.Generator
) -> Iterator[ArrivalBlock]:
    """Rows of one stamp spread from it on, in their order: over a unit of time, and never beyond the next stamp.

    With a grid of its own, rows that are nearest to the same point of it, counted from the first row, are spread from
    the first of them on.
    """
    grid_ns = how.grid_ns or unit_ns

    def runs_of(times: Integers) -> Integers:
        return times if how.grid_ns is None else (times + grid_ns // 2) // grid_ns

    def places(run: Integers, rank: Integers, counts: Integers) -> Floats:
        if how.is_even:
            return rank / counts
        drawn = generator.random(len(run))
        return drawn[np.lexsort((drawn, run))]

    def spread_block(block: ArrivalBlock, next_ns: int) -> ArrivalBlock:
        times = np.array(block.arrived_ns, np.int64)
        _, firsts, run, counts = np.unique(runs_of(times), return_index=True, return_inverse=True, return_counts=True)
        stamps = times[firsts]
        widths = np.minimum(np.diff(stamps, append=next_ns), grid_ns)
        rank = np.arange(len(times)) - firsts[run]
        offsets = np.floor(places(run, rank, counts[run]) * widths[run]).astype(np.int64)
        return replace(block, arrived_ns=(stamps[run] + offsets).tolist())

    def spread_all() -> Iterator[ArrivalBlock]:
        pending: ArrivalBlock | None = None
        for block in blocks:
            if pending is None:
                pending = block.part(slice(None))
            else:
                pending.extend(block)
            # The rows of the last run wait for the next one.
            runs = runs_of(np.array(pending.arrived_ns, np.int64))
            last = int(np.searchsorted(runs, int(runs[-1])))
            if last:
                yield spread_block(pending.part(slice(0, last)), pending.arrived_ns[last])
                pending = pending.part(slice(last, None))
        if pending is not None:
            yield spread_block(pending, pending.arrived_ns[0] + grid_ns)

    yield from from_first(spread_all())
