"""Several seeds of one run: the mean of each figure, and how far it may be from the true one.

The interval holds as far as figures of different seeds are alike to a normal distribution; that of a percentile of few
requests is wide for good reason. Where nothing is left to chance all seeds agree and it is 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from deploy.statistics.intervals import Interval, interval
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


class SeveralSeeds(Struct, frozen=True):
    """What several seeds of one run came to."""

    seeds: Sequence[int]
    intervals: Mapping[str, Interval]


def check_seeds(num: int | None, seed: int) -> list[int]:
    """The seeds of `--seeds`: as many from `seed` on, just that one if it was not given."""
    if num is None:
        return [seed]
    if not 2 <= num <= MAX_SEEDS:
        raise ConfigError(f"--seeds is {num}; give a number of runs from 2 to {MAX_SEEDS}")
    return list(range(seed, seed + num))


def figures_of(documents: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Of the figures that all runs have, by path: one value for each run."""
    found = {path: [_at(document, path) for document in documents] for path in FIGURES}
    return {
        path: known
        for path, values in found.items()
        if len(known := [value for value in values if value is not None]) == len(documents)
    }


def intervals_of(documents: Sequence[Mapping[str, Any]]) -> dict[str, Interval]:
    """Of the figures that all runs have, by path."""
    return {path: interval(values) for path, values in figures_of(documents).items()}


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
