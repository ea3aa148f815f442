"""What a Prometheus would have scraped of a run on the virtual clock, as one OpenMetrics file with simulated times.

OpenMetrics wants each family in one piece and each series in the order of time, while a run goes through time with all
series at once. So rows of numbers are kept in a spool on disk while the run goes, and written by columns when it has
ended: memory does not grow with the run. `promtool tsdb create-blocks-from openmetrics` reads the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, Final

import numpy as np

from scheduler.metrics.columns import Floats
from scheduler.metrics.export.exposition import OPENMETRICS_END, templates
from scheduler.metrics.layout import Layout
from scheduler.metrics.live.totals import LiveTotals
from scheduler.protocol.component import NOTHING, Outputs, Priority, TimingFlags
from scheduler.protocol.messages import Message, ReportUsage

NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000

UP_HEAD: Final = "# HELP up Always 1, as a Prometheus notes of a target that answers.\n# TYPE up gauge\n"
UP_START: Final = 'up{job="supernode"} 1 '
"""The job of `deploy/prometheus/prometheus.yml`."""

ROWS_AT_ONCE: Final = 4096
"""Rows of the spool that are read at once; a run of that many scrapes at 15 s takes 17 hours."""


class SimulatedScrapes(TimingFlags):
    """An observer: every `interval_ns` it asks `metered` for their accounts and notes all series.

    `spool` is a binary file, empty and open for reading and writing; `start_ns` is clock zero in Unix time.
    """

    address = "scrapes"
    priority = Priority.OBSERVER
    is_observer = True

    def __init__(
        self,
        totals: LiveTotals,
        layout: Layout,
        metered: Sequence[str],
        interval_ns: int,
        start_ns: int,
        spool: IO[bytes],
    ) -> None:
        self.deadline_ns = 0
        self._totals = totals
        self._templates = templates(layout, True)
        self._width = sum(len(template.starts) for template in self._templates)
        self._metered = metered
        self._interval_ns = interval_ns
        self._start_ns = start_ns
        self._spool = spool
        self._times_ns: list[int] = []
        self._has_asked = True  # at clock zero there is nothing to account for

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Nobody tells it anything but the end of the run."""
        return NOTHING

    def wake(self, now_ns: int) -> Outputs:
        """Ask what idle instances did until now, then, woken a second time at this instant, note how it stands."""
        if not self._has_asked:
            self._has_asked = True
            return tuple((address, ReportUsage()) for address in self._metered)
        self._note(now_ns)
        self._has_asked = False
        self.deadline_ns = now_ns + self._interval_ns
        return NOTHING

    def end(self, ended_ns: int) -> None:
        """The run is over and all is accounted for: the last sample."""
        if not self._times_ns or ended_ns // NS_PER_MS > self._times_ns[-1] // NS_PER_MS:
            self._note(ended_ns)

    def _note(self, now_ns: int) -> None:
        snapshot = self._totals.snapshot(now_ns)
        row = [value for template in self._templates for value in template.values(snapshot)]
        self._spool.write(np.array(row, np.float64).tobytes())
        self._times_ns.append(now_ns)

    def texts(self) -> Iterator[str]:
        """The file, piece by piece, when the run has ended."""
        self._spool.flush()
        # Prometheus keeps milliseconds.
        times = [f"{(self._start_ns + time_ns) // NS_PER_MS / 1000:.3f}\n" for time_ns in self._times_ns]
        yield UP_HEAD
        yield "".join([f"{UP_START}{time}" for time in times])
        first = 0
        for template in self._templates:
            yield template.head
            lines = template.lines_per_point
            for place in range(0, len(template.starts), lines):
                yield from self._points(template.starts[place : place + lines], first + place, times)
            first += len(template.starts)
        yield OPENMETRICS_END

    def _points(self, starts: Sequence[str], first: int, times: Sequence[str]) -> Iterator[str]:
        """One series: all lines of a point, as the buckets of a histogram, before those of the next."""
        for begin, rows in self._columns(slice(first, first + len(starts))):
            yield "".join(
                [
                    f"{start}{_text(value)} {time}"
                    for values, time in zip(rows.tolist(), times[begin:], strict=False)
                    for start, value in zip(starts, values, strict=True)
                ]
            )

    def _columns(self, columns: slice) -> Iterator[tuple[int, Floats]]:
        """Some columns of the spool, some thousand rows at a time, each with the number of its first row."""
        spooled = np.memmap(self._spool, np.float64, "r", shape=(len(self._times_ns), self._width))
        for begin in range(0, len(spooled), ROWS_AT_ONCE):
            yield begin, np.array(spooled[begin : begin + ROWS_AT_ONCE, columns])


def _text(value: float) -> str:
    """As short as it can be without changing it."""
    return repr(value).removesuffix(".0")
