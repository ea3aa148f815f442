"""What a sweep is to vary: read from a YAML file, and cut into points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import exp, log, prod
from typing import Any, Final, cast

import numpy as np
from msgspec import Struct

from deploy.settings.from_keywords import KNOWN, near_names
from scheduler.metrics.bounds import JsonValue
from scheduler.runtime.random_streams import stream
from scheduler.sources.synthetic.section import Section, kind
from scheduler.sources.synthetic.settings_file import read_settings

MAX_POINTS: Final = 100_000
MAX_SEEDS: Final = 30

OWN_KEYS: Final = ("trace", "vary", "sample", "seeds", "minimise", "maximise")
Plain = str | int | float | bool
Parameters = Mapping[str, Plain]
"""One point: the value of each name that varies."""


class Range(Struct, frozen=True):
    """Values from `low` to `high`, evenly or by their logarithm; whole numbers only if `is_whole`."""

    low: float
    high: float
    is_log: bool
    is_whole: bool

    def at(self, share: float) -> float | int:
        """The value at a share in [0, 1) of the way."""
        if self.is_whole:
            high = self.high + 1
            value = exp(log(self.low) + share * log(high / self.low)) if self.is_log else self._even(share, high)
            return min(int(value), int(self.high))
        value = exp(log(self.low) + share * log(self.high / self.low)) if self.is_log else self._even(share, self.high)
        return float(f"{value:.6g}")

    def _even(self, share: float, high: float) -> float:
        return self.low + share * (high - self.low)


Axis = tuple[Plain, ...] | Range


class Objective(Struct, frozen=True):
    """A path in the JSON of a point, and which way is good."""

    path: str
    is_maximised: bool


class Space(Struct, frozen=True):
    """The whole file. `shared` holds for all runs; `places` says where each name stands, for errors.

    `num_samples` points are drawn by `sample_seed`, all combinations if it is None; each runs with `num_seeds` seeds.
    """

    trace: str
    place: str
    shared: Mapping[str, Any]
    places: Mapping[str, str]
    axes: Mapping[str, Axis]
    num_samples: int | None
    sample_seed: int
    num_seeds: int
    objectives: Sequence[Objective]

    def section(self, values: Mapping[str, Any]) -> Section:
        """These values, each with the place where the file gives it."""
        return Section("", self.place, dict(values), {name: self.places.get(name, self.place) for name in values})

    def points(self) -> list[Parameters]:
        """In the order in which they are shown: combinations as the file nests them, or draws."""
        return list(self._combinations()) if self.num_samples is None else _drawn(self)

    def _combinations(self) -> Iterator[Parameters]:
        axes = cast(Mapping[str, tuple[Plain, ...]], self.axes)
        for values in product(*axes.values()):
            yield dict(zip(axes, values, strict=True))


def read_space(path: str) -> Space:
    """The sweep of a file. `ConfigError` with file, line and fix."""
    section = read_settings(path, "a sweep")
    return section.build(lambda: _space(section))


def _space(section: Section) -> Space:
    trace = section.text("trace")
    varied = section.section("vary")
    axes = {name: _axis(varied, name) for name in varied.values}
    varied.build(lambda: None)
    if not axes:
        raise section.error("vary", "has nothing", "give names of settings, each with a list of values")
    num_samples, sample_seed = _sample(section) if "sample" in section.values else (None, 0)
    _check_size(section, axes, num_samples)
    shared = {name: value for name, value in section.values.items() if name not in OWN_KEYS}
    for name in shared:
        _refuse_unknown(section, name)
        section.taken.add(name)
        if name in axes:
            raise section.error(name, "is varied as well", "give it once")
    num_seeds = section.integer("seeds", 1)
    if not 1 <= num_seeds <= MAX_SEEDS:
        raise section.error("seeds", f"is {num_seeds}", f"give a number of runs of each point from 1 to {MAX_SEEDS}")
    objectives = (*_objectives(section, "minimise"), *_objectives(section, "maximise"))
    places = {**section.places, **varied.places}
    return Space(trace, section.place, shared, places, axes, num_samples, sample_seed, num_seeds, objectives)


def _axis(section: Section, name: str) -> Axis:
    _refuse_unknown(section, name)
    section.taken.add(name)
    value = section.values[name]
    if isinstance(value, Section):
        return value.build(lambda: _range(value))
    values = _list(value)
    if not values or not all(isinstance(one, Plain) for one in values):
        raise section.error(name, f"is {kind(section.values[name])}", "give a list of values, or from and to")
    plain = cast(list[Plain], values)
    if len({(type(one), one) for one in plain}) < len(plain):
        raise section.error(name, "has a value twice", "give each once")
    return tuple(plain)


def _range(section: Section) -> Range:
    low, high = section.number("from"), section.number("to")
    scale = section.choice("scale", "linear", ["linear", "log"])
    is_whole = all(isinstance(section.values[key], int) for key in ("from", "to"))
    if not low < high:
        raise section.error("to", f"is {high:g}, not above from", "give the smaller one first")
    if scale == "log" and low <= 0:
        raise section.error("from", f"is {low:g}", "give a number above 0, or scale: linear")
    return Range(low, high, scale == "log", is_whole)


def _sample(section: Section) -> tuple[int, int]:
    inner = section.section("sample")
    num, seed = inner.build(lambda: (inner.integer("points"), inner.integer("seed", 0)))
    if num < 1:
        raise inner.error("points", f"is {num}", "give a number of points, at least 1")
    return num, seed


def _check_size(section: Section, axes: Mapping[str, Axis], num_samples: int | None) -> None:
    if num_samples is None:
        for name, axis in axes.items():
            if isinstance(axis, Range):
                raise section.error("vary", f"has a range, {name}", "add sample: {points: N}, or list the values")
    num = num_samples or prod(len(cast(tuple[Plain, ...], axis)) for axis in axes.values())
    if num > MAX_POINTS:
        raise section.error("vary", f"has {num:,} points", f"give at most {MAX_POINTS:,}, or sample: {{points: N}}")


def _objectives(section: Section, key: str) -> list[Objective]:
    section.taken.add(key)
    if key not in section.values:
        return []
    paths = _list(section.values[key])
    if not paths or not all(isinstance(path, str) for path in paths):
        fix = "give a list of paths in the JSON of a run, such as [ttft_s.p99]"
        raise section.error(key, f"is {kind(section.values[key])}", fix)
    return [Objective(str(path), key == "maximise") for path in paths]


def _list(value: object) -> list[object]:
    """A list as one; empty for all else."""
    return cast(list[object], value) if isinstance(value, list) else []


def _refuse_unknown(section: Section, name: str) -> None:
    if name == "seed":
        raise section.error(name, "is set by the sweep", "give seeds: N")
    if name not in KNOWN:
        raise section.error(name, "is not known here", near_names(name, OWN_KEYS))


def _drawn(space: Space) -> list[Parameters]:
    """A Latin hypercube: each axis is cut into as many equal parts as there are points, and each part is met once
    (McKay, Beckman and Conover, Technometrics 21, 1979). Equal points are one."""
    num = space.num_samples or 0
    draws = stream(space.sample_seed, "sweep")
    columns = {name: (draws.permutation(num) + draws.random(num)) / num for name in space.axes}
    found = [{name: _at(axis, float(columns[name][at])) for name, axis in space.axes.items()} for at in range(num)]
    return list({tuple(one.items()): one for one in found}.values())


def _at(axis: Axis, share: float) -> Plain:
    return axis.at(share) if isinstance(axis, Range) else axis[int(np.floor(share * len(axis)))]


def value_at(document: Mapping[str, JsonValue], path: str) -> float | None:
    """The number at a path; None if there is none."""
    node: JsonValue = document
    for part in path.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    return float(node) if isinstance(node, int | float) and not isinstance(node, bool) else None
