"""What a trace needs of any system, as means over it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from scheduler.protocol.errors import ConfigError
from scheduler.sources.traces.describe import describe
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import open_trace


class Demand(Struct, frozen=True):
    """Rates are of the whole trace. `cached_share`: prompt tokens that a cache which never forgets would find.

    `context_tokens`: KV of a sequence that decodes, in the mean over its time. `long_prompt_tokens`: the longest prompt
    of those that must be served within the limits, if the longest of all are those that need not be.
    """

    num_requests: int
    requests_per_s: float
    prompt_tokens: float
    output_tokens: float
    cached_share: float
    context_tokens: float
    long_prompt_tokens: int

    @property
    def computed_tokens_per_s(self) -> float:
        """Prompt tokens that must be computed."""
        return self.requests_per_s * self.prompt_tokens * (1 - self.cached_share)

    @property
    def output_tokens_per_s(self) -> float:
        """Tokens that must be decoded."""
        return self.requests_per_s * self.output_tokens


def demand_of(trace: str, options: TraceOptions, attainment: float, *, has_cache: bool) -> Demand:
    """One pass over the trace, of whose requests this share must be served. `ConfigError` for one too short to have a
    rate."""
    found = describe(open_trace(trace, options=options))
    rate = found.arrivals.mean_rate_per_s
    if rate is None or not rate:
        raise ConfigError(f"{found.name}: {found.requests:,} requests have no rate to plan for; give a longer trace")
    prompt, output = found.prompt_tokens.mean, found.output_tokens.mean
    cached = found.sharing.token_hit_rate if has_cache else 0.0
    longest = _quantile(found.prompt_tokens.histogram, attainment)
    return Demand(found.requests, rate, prompt, output, cached, prompt + output / 2, longest)


def _quantile(histogram: Sequence[tuple[int, int]], share: float) -> int:
    """The least length that so many are not longer than."""
    wanted, seen = share * sum(count for _, count in histogram), 0
    for length, count in sorted(histogram):
        seen += count
        if seen >= wanted:
            return length
    return max(length for length, _ in histogram)
