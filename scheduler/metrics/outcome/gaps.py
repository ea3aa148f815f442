"""Inter-token latency: the gaps between consecutive tokens of one request, pooled over all requests.

A decode step gives each running sequence one gap of the step's length. With MTP a step may bring a chunk of several
tokens; like vLLM and AIPerf this counts the gap between chunks once and gives the further tokens of a chunk none. The
p99 of pooled gaps is therefore another number than the p99 of TPOT, which has one value per request.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from scheduler.core.request_table import NOT_YET
from scheduler.metrics.columns import Bools, Floats, Ints, parts
from scheduler.metrics.layout import is_of_stage
from scheduler.metrics.outcome.collector import Collector
from scheduler.metrics.records import Records

PART_STEPS: Final = 1 << 17
"""Steps that are laid out at once, at least one run: bounds memory however long the whole run was."""


class TokenGaps:
    """All gaps of a run as weighted lengths; three kinds.

    Steps of running sequences. From the token before a join to the end of the first step after it, in place of that
    step's own length. From the last token before a request was requeued to the one that recomputing made. The gaps of a
    finished request sum up to last token - first token, as exactly as step lengths are linear within a run.
    """

    def __init__(self, collector: Collector, records: Records | None = None) -> None:
        """`records` are of the requests that ran in the time of the log; those of its table unless they are given."""
        self._rows = collector.run_rows()
        self._began_ns: Ints = self._rows["boundary_ns"] - self._rows["steps_ns"]
        decode = [index for index, one in enumerate(collector.instances) if is_of_stage(one.role, "decode")]
        self._runs_of = [np.flatnonzero(self._rows["instance"] == index) for index in decode]
        self._num_joined = np.zeros(len(self._rows), np.int64)
        singles: list[Floats] = [collector.resumed_gaps_ns().astype(np.float64)]
        for instance, joined_ns, previous_token_ns in _joins(
            collector, Records(collector.table) if records is None else records
        ):
            run, is_matched = self._runs_begun_by(instance, joined_ns)
            run = run[is_matched]
            self._num_joined += np.bincount(run, minlength=len(self._rows))
            mean_ns, tilt = self._shape(run)
            waited_ns = self._began_ns[run] - previous_token_ns[is_matched]
            singles.append(waited_ns + mean_ns * (1 - tilt))
        self._single_ns = np.concatenate(singles)

    def parts(self, part_steps: int = PART_STEPS) -> Iterator[tuple[Floats, Floats]]:
        """(lengths in ns, how many sequences had that gap), shape (num_gaps,) each; some `part_steps` at once."""
        ends = np.cumsum(self._rows["num_steps"], dtype=np.int64)
        begin = laid_out = 0
        while begin < len(ends):
            end = max(begin + 1, int(np.searchsorted(ends, laid_out + part_steps, side="right")))
            yield self._lay_out(slice(begin, end))
            begin, laid_out = end, int(ends[end - 1])
        for part in parts(len(self._single_ns)):
            yield self._single_ns[part], np.ones(part.stop - part.start)

    def _lay_out(self, part: slice) -> tuple[Floats, Floats]:
        """(length in ns, weight) of the steps of some runs, shape (num_steps,) each: linear from first to last, about a
        mean that sums to the run's time."""
        mean_ns, tilt = self._shape(part)
        num_steps = self._rows["num_steps"][part].astype(np.int64)
        ends = np.cumsum(num_steps)
        firsts = ends - num_steps
        step = np.arange(int(ends[-1])) - np.repeat(firsts, num_steps)
        slope = 2 * mean_ns * tilt / np.maximum(num_steps - 1, 1)
        lengths_ns = np.repeat(mean_ns * (1 - tilt), num_steps) + np.repeat(slope, num_steps) * step
        weights = np.repeat(self._rows["num_running"][part].astype(np.float64), num_steps)
        weights[firsts] -= self._num_joined[part]
        return lengths_ns, weights

    def _shape(self, runs: Ints | slice) -> tuple[Floats, Floats]:
        """(mean step in ns, tilt), shape (num_runs,) each: by that share of the mean the first step is shorter and the
        last longer."""
        rows = self._rows[runs]
        first_ns, last_ns, num_steps = rows["first_step_ns"], rows["last_step_ns"], rows["num_steps"]
        tilt = (last_ns - first_ns) / np.maximum(last_ns + first_ns, 1)
        return rows["steps_ns"] / num_steps, np.where(num_steps > 1, tilt, 0.0)

    def _runs_begun_by(self, instance: Ints, joined_ns: Ints) -> tuple[Ints, Bools]:
        """The run of steps that began with each join, and whether there is one (a run cut short has none), shape
        (num_joins,) each."""
        run = np.zeros(len(joined_ns), np.int64)
        is_matched = np.zeros(len(joined_ns), np.bool_)
        for index, rows in enumerate(self._runs_of):
            members = np.flatnonzero(instance == index)
            if len(rows) and len(members):
                began_ns = self._began_ns[rows]
                place = np.minimum(np.searchsorted(began_ns, joined_ns[members]), len(rows) - 1)
                run[members] = rows[place]
                is_matched[members] = began_ns[place] == joined_ns[members]
        return run, is_matched


def _joins(collector: Collector, records: Records) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Every join as (index among decode instances, its time in ns, that of the token before), shape (num_joins,) each,
    some thousand at a time.

    Of requests that were never requeued their records know the one join; those of the others were logged.
    """
    logged = collector.logged_joins()
    yield logged[:, 0], logged[:, 1], logged[:, 2]
    names = ("decode_instance", "decode_started_ns", "first_token_ns", "preemptions", "retries")
    columns: list[Ints] = [getattr(records, name) for name in names]
    for part in parts(records.num_requests):
        instance, joined_ns, previous_token_ns, preemptions, retries = (column[part] for column in columns)
        is_kept = (joined_ns != NOT_YET) & (preemptions == 0) & (retries == 0)
        yield instance[is_kept], joined_ns[is_kept], previous_token_ns[is_kept]
