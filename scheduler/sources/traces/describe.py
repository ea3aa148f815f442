"""What a trace is like: one streaming pass to one value. Computation only; tables and pages are elsewhere.

Memory grows with distinct lengths and distinct prefix blocks, not with requests, unless these wait for each other.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct, to_builtins

from scheduler.sources.arrivals import ArrivalBlock, Trace
from scheduler.sources.traces.sessions.statistics import SessionStatistics, SessionTally
from scheduler.sources.traces.time_bins import TimeBins, WindowCounts

Integers = npt.NDArray[np.int64]

NS_PER_S: Final = 1e9
DISPERSION_WINDOWS_S: Final = (1, 10, 60)
PERCENTILES: Final = (50, 90, 99)


class LengthStatistics(Struct, frozen=True):
    """Token counts of all requests; percentiles interpolate linearly. `histogram` pairs a length with its requests."""

    total: int
    mean: float
    p50: float
    p90: float
    p99: float
    max: int
    histogram: tuple[tuple[int, int], ...]


class ArrivalStatistics(Struct, frozen=True):
    """How requests arrive. None where the trace is too short to tell.

    `gap_cv`: standard deviation of inter-arrival times over their mean; 1 for Poisson. `dispersion`: variance over
    mean of the requests in windows of so many seconds, whole windows only; 1 for Poisson at any width.
    """

    span_s: float
    mean_rate_per_s: float | None
    gap_cv: float | None
    dispersion: dict[int, float | None]


class SharingStatistics(Struct, frozen=True):
    """What prompts share, by block ids. `distinct_blocks` counts pairs of tenant and id.

    Hits are those of a cache that never forgets: of each prompt the leading blocks whose ids an earlier request had, up
    to the first that is new. Requests of one instant count one after the other. `token_hit_rate` is the share of all
    prompt tokens that lie in hits, where the last, partial block counts with the tokens that it has; `block_hit_rate`
    is the share of block ids that are hits (36.6 % in the Mooncake conversation trace, whose token share is 37.4 %).
    """

    requests_with_blocks: int
    distinct_blocks: int
    blocks: int
    hit_blocks: int
    hit_tokens: int
    token_hit_rate: float
    block_hit_rate: float


class OverTime(Struct, frozen=True):
    """Columns of equal time bins for a plot: requests, prompt tokens, and prompt tokens found cached in each."""

    bin_s: float
    requests: tuple[int, ...]
    prompt_tokens: tuple[int, ...]
    hit_tokens: tuple[int, ...]


class TraceDescription(Struct, frozen=True):
    """What one pass over a trace finds."""

    name: str
    requests: int
    block_tokens: int
    arrivals: ArrivalStatistics
    prompt_tokens: LengthStatistics
    output_tokens: LengthStatistics
    sharing: SharingStatistics
    over_time: OverTime
    sessions: SessionStatistics | None = None
    """Where requests wait for others."""

    def to_json(self) -> dict[str, Any]:
        """The figures as plain values, without the columns that are for plots."""
        document: dict[str, Any] = to_builtins(self)
        del document["over_time"]
        if self.sessions is None:
            del document["sessions"]
        for field in ("prompt_tokens", "output_tokens"):
            del document[field]["histogram"]
        document["arrivals"]["dispersion"] = {f"{width}s": value for width, value in self.arrivals.dispersion.items()}
        return document

    def rows(self) -> list[tuple[str, str]]:
        """(what, figure) for a table."""
        arrivals, sharing = self.arrivals, self.sharing
        widths = ", ".join(f"{width} s" for width in arrivals.dispersion)
        return [
            ("requests", f"{self.requests:,}"),
            ("span", f"{arrivals.span_s:,.3f} s"),
            ("mean rate", f"{_shown(arrivals.mean_rate_per_s)} /s"),
            ("inter-arrival CV", _shown(arrivals.gap_cv)),
            (f"index of dispersion at {widths}", ", ".join(map(_shown, arrivals.dispersion.values()))),
            *_length_rows("prompt tokens", self.prompt_tokens),
            *_length_rows("output tokens", self.output_tokens),
            *(() if self.sessions is None else self.sessions.rows()),
            ("requests with block ids", f"{sharing.requests_with_blocks:,}"),
            (f"distinct blocks of {self.block_tokens} tokens", f"{sharing.distinct_blocks:,}"),
            (
                "infinite-cache hit rate",
                f"{sharing.token_hit_rate:.1%} of tokens, {sharing.block_hit_rate:.1%} of blocks",
            ),
        ]


def describe(trace: Trace) -> TraceDescription:
    """Read a trace to its end and describe it."""
    arrivals = _Arrivals()
    sharing = _Sharing(trace.block_tokens)
    over_time = TimeBins(num_columns=3)
    sessions = SessionTally(trace.place)
    prompts: Counter[int] = Counter()
    outputs: Counter[int] = Counter()
    for block in trace.blocks:
        times_ns = np.array(block.arrived_ns, np.int64)
        arrivals.add(times_ns)
        prompts.update(block.prompt_tokens)
        outputs.update(block.output_tokens)
        hit_tokens = sharing.add(block)
        if block.links is not None:
            sessions.add(block)
        ones = np.ones(len(block), np.int64)
        over_time.add(times_ns, [ones, np.array(block.prompt_tokens, np.int64), np.array(hit_tokens, np.int64)])
    prompt_tokens = _length_statistics(prompts)
    bin_ns, columns = over_time.columns()
    return TraceDescription(
        name=trace.name,
        requests=arrivals.num_requests,
        block_tokens=trace.block_tokens,
        arrivals=arrivals.statistics(),
        prompt_tokens=prompt_tokens,
        output_tokens=_length_statistics(outputs),
        sharing=sharing.statistics(prompt_tokens.total),
        over_time=OverTime(bin_ns / NS_PER_S, *(tuple(column) for column in columns)),
        sessions=sessions.statistics(),
    )


class _Arrivals:
    """Sums over inter-arrival times and over counts in windows."""

    def __init__(self) -> None:
        self.num_requests = 0
        self._last_ns = 0
        self._sum_gaps_s2 = 0.0
        self._windows = [WindowCounts(int(width * NS_PER_S)) for width in DISPERSION_WINDOWS_S]

    def add(self, times_ns: Integers) -> None:
        """Take the times of the next rows; the first row of all is at 0."""
        gaps_s = np.diff(times_ns, prepend=self._last_ns) / NS_PER_S
        self._sum_gaps_s2 += float(gaps_s @ gaps_s)
        self._last_ns = int(times_ns[-1])
        self.num_requests += len(times_ns)
        for windows in self._windows:
            windows.add(times_ns)

    def statistics(self) -> ArrivalStatistics:
        """The statistics of all rows so far."""
        span_s = self._last_ns / NS_PER_S
        num_gaps = self.num_requests - 1
        dispersion = {
            width: windows.dispersion() for width, windows in zip(DISPERSION_WINDOWS_S, self._windows, strict=True)
        }
        if num_gaps < 1 or span_s == 0:
            return ArrivalStatistics(span_s, None, None, dispersion)
        mean_s = span_s / num_gaps
        variance_s2 = max(0.0, self._sum_gaps_s2 / num_gaps - mean_s**2)
        return ArrivalStatistics(span_s, num_gaps / span_s, variance_s2**0.5 / mean_s, dispersion)


class _Sharing:
    """Which blocks were seen, by tenant, and what they would have saved."""

    def __init__(self, block_tokens: int) -> None:
        self._block_tokens = block_tokens
        self._seen: dict[int, set[int]] = {}
        self._num_requests = 0
        self._num_blocks = 0
        self._hit_blocks = 0
        self._hit_tokens = 0

    def add(self, block: ArrivalBlock) -> list[int]:
        """Take the next rows; returns the prompt tokens of each that were seen before."""
        hits: list[int] = []
        for prefix, tenant, prompt_tokens in zip(block.prefixes, block.tenants, block.prompt_tokens, strict=True):
            if not prefix:
                hits.append(0)
                continue
            self._num_requests += 1
            seen = self._seen.setdefault(tenant, set())
            num_hits = len(prefix)
            if not seen.issuperset(prefix):
                num_hits = next(index for index, block_id in enumerate(prefix) if block_id not in seen)
                seen.update(prefix)
            self._num_blocks += len(prefix)
            self._hit_blocks += num_hits
            hits.append(min(num_hits * self._block_tokens, prompt_tokens))
        self._hit_tokens += sum(hits)
        return hits

    def statistics(self, prompt_tokens: int) -> SharingStatistics:
        """What was seen, with the hit rate over all prompt tokens of the trace."""
        return SharingStatistics(
            requests_with_blocks=self._num_requests,
            distinct_blocks=sum(map(len, self._seen.values())),
            blocks=self._num_blocks,
            hit_blocks=self._hit_blocks,
            hit_tokens=self._hit_tokens,
            token_hit_rate=self._hit_tokens / prompt_tokens,
            block_hit_rate=self._hit_blocks / max(1, self._num_blocks),
        )


def _length_statistics(counts: Counter[int]) -> LengthStatistics:
    histogram = tuple(sorted(counts.items()))
    lengths = np.array([length for length, _ in histogram], np.int64)
    ends = np.cumsum([count for _, count in histogram])
    num_requests = int(ends[-1])
    total = sum(length * count for length, count in histogram)
    p50, p90, p99 = (_percentile(lengths, ends, percent) for percent in PERCENTILES)
    return LengthStatistics(total, total / num_requests, p50, p90, p99, histogram[-1][0], histogram)


def _percentile(lengths: Integers, ends: npt.NDArray[Any], percent: int) -> float:
    """Linear interpolation between order statistics of the expanded histogram, as numpy's default, but exact."""
    last = int(ends[-1]) - 1
    low, rest = divmod(percent * last, 100)
    ranks = np.searchsorted(ends, [low, min(low + 1, last)], side="right")
    at_low, at_high = lengths[ranks].tolist()
    return (at_low * 100 + (at_high - at_low) * rest) / 100


def _length_rows(name: str, lengths: LengthStatistics) -> list[tuple[str, str]]:
    return [
        (f"{name}, mean", f"{lengths.mean:,.1f}"),
        (f"{name}, p50 / p90 / p99", f"{lengths.p50:,.0f} / {lengths.p90:,.0f} / {lengths.p99:,.0f}"),
        (f"{name}, max", f"{lengths.max:,}"),
    ]


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4g}"
