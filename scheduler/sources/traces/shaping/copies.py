"""Superposition, then rate scale. Both stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from scheduler.protocol.errors import ConfigError
from scheduler.protocol.messages import NO_SESSION
from scheduler.runtime.random_streams import stream
from scheduler.sources.arrivals import BLOCK_ROWS, ArrivalBlock, Links, RowKey
from scheduler.sources.traces.time_units import MAX_TIME_NS

Integers = npt.NDArray[np.int64]

WINDOW_NS: Final = 60_000_000_000
"""Copies of a superposed trace start within this time of each other, so this much of the trace is kept at once."""

MERGED_ROWS: Final = 65_536
"""Rows merged at once, over all copies: bounds the memory of a merge whatever the number of copies."""


def superpose(blocks: Iterator[ArrivalBlock], num_copies: int, seed: int) -> Iterator[ArrivalBlock]:
    """The trace laid over itself: copy k starts at a seeded uniform draw in [0, 60 s), and of n copies has for each
    tenant t of the trace the tenant t * n + k.

    Rows come in the order (time, copy, row), shifted so that the first is at 0. Block ids are shared between copies,
    not copied; sessions are each copy's own, and so are the names by which rows wait for each other.
    """
    offsets_ns = stream(seed, "superpose").integers(0, WINDOW_NS, num_copies)
    # The base trace begins at 0, so its earliest copy does after this.
    window = _Window(offsets_ns - offsets_ns.min())
    piece_rows = max(1, MERGED_ROWS // num_copies)
    for block in blocks:
        for start in range(0, len(block), piece_rows):
            window.add(block, slice(start, start + piece_rows))
            yield from window.take(until_ns=window.last_ns)
    yield from window.take(until_ns=None)


class _Window:
    """Rows of the base trace that some copy has not yielded yet."""

    def __init__(self, offsets_ns: Integers) -> None:
        self.last_ns = 0
        self._offsets_ns = offsets_ns
        self._num_taken = np.zeros(len(offsets_ns), np.int64)
        self._times_ns = np.zeros(0, np.int64)
        self._prompt_tokens = np.zeros(0, np.int64)
        self._output_tokens = np.zeros(0, np.int64)
        self._tenants = np.zeros(0, np.int64)
        self._prefixes: list[list[int]] = []
        self._classes: list[str] = []
        self._answers: list[int] = []
        self._has_answers = False
        self._links: Links | None = None

    def add(self, block: ArrivalBlock, rows: slice) -> None:
        """Take further rows of the base trace."""
        self._times_ns = np.concatenate((self._times_ns, np.array(block.arrived_ns[rows], np.int64)))
        self._prompt_tokens = np.concatenate((self._prompt_tokens, np.array(block.prompt_tokens[rows], np.int64)))
        self._output_tokens = np.concatenate((self._output_tokens, np.array(block.output_tokens[rows], np.int64)))
        self._tenants = np.concatenate((self._tenants, np.array(block.tenants[rows], np.int64)))
        self._prefixes.extend(block.prefixes[rows])
        self._classes.extend(block.class_names[rows])
        self._answers.extend(block.answer_blocks[rows])
        self._has_answers |= bool(block.answers)
        if block.links is not None:
            links = block.links.chosen(range(*rows.indices(len(block))))
            if self._links is None:
                self._links = links
            else:
                self._links.extend(links)
        self.last_ns = int(self._times_ns[-1])

    def take(self, until_ns: int | None) -> Iterator[ArrivalBlock]:
        """All copies' rows before this time (None: all there are), merged. A row at it may yet meet an equal one."""
        if until_ns is None:
            num_due = np.full(len(self._offsets_ns), len(self._times_ns))
        else:
            num_due = np.searchsorted(self._times_ns, until_ns - self._offsets_ns, side="left")
        counts = num_due - self._num_taken
        ends = np.cumsum(counts)
        # Row numbers taken .. due of each copy in turn, and which copy each belongs to.
        rows = np.arange(int(ends[-1])) + np.repeat(self._num_taken - (ends - counts), counts)
        copies = np.repeat(np.arange(len(counts)), counts)
        times_ns = self._times_ns[rows] + self._offsets_ns[copies]
        order = np.argsort(times_ns, kind="stable")
        yield from self._to_blocks(times_ns[order], rows[order], copies[order])
        self._num_taken = num_due
        self._forget(int(num_due.min()))

    def _to_blocks(self, times_ns: Integers, rows: Integers, copies: Integers) -> Iterator[ArrivalBlock]:
        prefix_of, class_of = self._prefixes.__getitem__, self._classes.__getitem__
        answer_of = self._answers.__getitem__
        has_classes, num_copies = any(self._classes), len(self._offsets_ns)
        for start in range(0, len(rows), BLOCK_ROWS):
            part = slice(start, start + BLOCK_ROWS)
            numbers = rows[part].tolist()
            yield ArrivalBlock(
                times_ns[part].tolist(),
                self._prompt_tokens[rows[part]].tolist(),
                self._output_tokens[rows[part]].tolist(),
                list(map(prefix_of, numbers)),
                (self._tenants[rows[part]] * num_copies + copies[part]).tolist(),
                list(map(class_of, numbers)) if has_classes else [],
                list(map(answer_of, numbers)) if self._has_answers else [],
                self._links_of(numbers, copies[part].tolist()),
            )

    def _links_of(self, rows: list[int], copies: list[int]) -> Links | None:
        return None if self._links is None else _links_of_copies(self._links, rows, copies, len(self._offsets_ns))

    def _forget(self, num_rows: int) -> None:
        self._num_taken -= num_rows
        self._times_ns = self._times_ns[num_rows:]
        self._prompt_tokens = self._prompt_tokens[num_rows:]
        self._output_tokens = self._output_tokens[num_rows:]
        self._tenants = self._tenants[num_rows:]
        del self._prefixes[:num_rows]
        del self._classes[:num_rows]
        del self._answers[:num_rows]
        if self._links is not None:
            self._links = self._links.chosen(range(num_rows, len(self._links.keys)))


def _links_of_copies(links: Links, rows: list[int], copies: list[int], num_copies: int) -> Links:
    """The links of rows of copies: copy k of n has for each session s the session s * n + k, and keys of its own."""
    chosen = links.chosen(rows)
    pairs = zip(chosen.sessions, copies, strict=True)
    chosen.sessions[:] = [NO_SESSION if one == NO_SESSION else one * num_copies + copy for one, copy in pairs]
    chosen.keys[:] = [_key_of_copy(key, copy) for key, copy in zip(chosen.keys, copies, strict=True)]
    chosen.waits_for[:] = [
        None if names is None else [_key_of_copy(name, copy) for name in names]
        for names, copy in zip(chosen.waits_for, copies, strict=True)
    ]
    return chosen


def _key_of_copy(key: RowKey, copy: int) -> RowKey:
    return None if key is None else f"{copy}:{key!r}"


def scale_rate(blocks: Iterator[ArrivalBlock], rate_scale: float) -> Iterator[ArrivalBlock]:
    """The same requests at `rate_scale` times the rate: times are divided by it and rounded down. What rows wait after
    others have ended stays as it is."""
    for block in blocks:
        times = np.floor(np.array(block.arrived_ns, np.int64) / rate_scale)
        if times[-1] > MAX_TIME_NS:
            raise ConfigError(f"rate-scale {rate_scale:g} stretches the trace beyond 126 years; give a larger factor")
        arrived_ns: list[int] = times.astype(np.int64).tolist()
        yield replace(block, arrived_ns=arrived_ns)
