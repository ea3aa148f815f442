"""Several seeds of one run: the mean of each figure, and how far it may be from the true one.

The interval is that of Student's t for independent runs: mean +- t(0.975, n - 1) * s / sqrt(n), with s the standard
deviation of the n runs. It holds as far as figures of different seeds are alike to a normal distribution; that of a
percentile of few requests is wide for good reason. Where nothing is left to chance all seeds agree and it is 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any, Final

from msgspec import Struct

from scheduler.protocol.errors import ConfigError

FIGURES: Final = (
    "ttft_s.p50",
    "ttft_s.p90",
    "ttft_s.p99",
    "tpot_s.p50",
    "tpot_s.p90",
    "tpot_s.p99",
    "e2e_s.p50",
    "throughput.requests_per_s",
    "slo.attainment",
    "slo.goodput_requests_per_s",
    "energy.joules_per_output_token",
)
"""Paths in the JSON of a run."""

MAX_SEEDS: Final = 30

# fmt: off
T_975: Final = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045,
)
# fmt: on
"""The 97.5th percentile of Student's t, from 1 to 29 degrees of freedom (any table of it, such as NIST's handbook,
section 1.3.6.7.2)."""


class Interval(Struct, frozen=True):
    """`mean`, and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


class SeveralSeeds(Struct, frozen=True):
    """What several seeds of one run came to."""

    seeds: Sequence[int]
    intervals: Mapping[str, Interval]


def interval(values: Sequence[float]) -> Interval:
    """Of at least two runs."""
    num = len(values)
    if min(values) == max(values):  # which sums of rounded numbers might miss
        return Interval(values[0], values[0], values[0])
    mean = sum(values) / num
    deviation = sqrt(sum((value - mean) ** 2 for value in values) / (num - 1))
    half = T_975[num - 2] * deviation / sqrt(num)
    return Interval(mean, mean - half, mean + half)


def check_seeds(num: int | None, seed: int) -> list[int]:
    """The seeds of `--seeds`: as many from `seed` on, just that one if it was not given."""
    if num is None:
        return [seed]
    if not 2 <= num <= MAX_SEEDS:
        raise ConfigError(f"--seeds is {num}; give a number of runs from 2 to {MAX_SEEDS}")
    return list(range(seed, seed + num))


def intervals_of(documents: Sequence[Mapping[str, Any]]) -> dict[str, Interval]:
    """Of the figures that all runs have, by path."""
    found: dict[str, Interval] = {}
    for path in FIGURES:
        values = [_at(document, path) for document in documents]
        known = [value for value in values if value is not None]
        if len(known) == len(documents):
            found[path] = interval(known)
    return found


def seeds_document(seeds: Sequence[int], intervals: Mapping[str, Interval]) -> dict[str, Any]:
    """Plain values, nested as the figures are in a run."""
    document: dict[str, Any] = {"num": len(seeds), "first": seeds[0]}
    for path, one in intervals.items():
        group, _, figure = path.partition(".")
        values = {"mean": one.mean, "low": one.low, "high": one.high}
        document.setdefault(group, {})[figure] = {key: float(f"{value:.6g}") for key, value in values.items()}
    return document


def seeds_shape(seeds: Sequence[int], document: Mapping[str, Any]) -> dict[str, Any]:
    """What `seeds_document` will have beside a run of this shape, so that bounds can be checked before it."""
    groups = {path for path in FIGURES if document.get(path.partition(".")[0]) is not None}
    return seeds_document(seeds, {path: Interval(0.0, 0.0, 0.0) for path in FIGURES if path in groups})


def _at(document: Mapping[str, Any], path: str) -> float | None:
    value: Any = document
    for key in path.split("."):
        value = None if value is None else value.get(key)
    return value
