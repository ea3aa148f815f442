"""Hardware as plain mappings and back: a user's chip or supernode has the same shape as the entries that are built in.

What a field holds is read off the classes, so a new field of theirs needs nothing here. A figure is a number or
{value, unit, source, confidence}; a bare number is an estimate of the user's. Units are SI; a prefix (GB/s, TFLOP/s,
kW) multiplies.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from enum import StrEnum
from itertools import pairwise
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, cast, get_args, get_origin

from msgspec import Struct
from msgspec.structs import fields

from sim_hw.chips.chip import Chip, PeakRates
from sim_hw.errors import DescriptionError, UnknownNameError
from sim_hw.figure import Confidence, Figure

Built = TypeVar("Built", bound=Struct)
Finder = Callable[[str], Chip]
QuantityReader = Callable[[str, str], float]
"""(text, unit) to the number that the text gives in that unit; ValueError, which says how to write it."""

USER_SOURCE: Final = "user file"
MAX_COUNT: Final = 10**7
MAX_ITEMS: Final = 1000

_UNITS: Final = {"bytes_per_s": "B/s", "bytes": "B", "w": "W", "usd": "USD", "s": "s"}
"""Unit by the last words of a field's name; a field without one counts things."""

_PREFIXES: Final = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}

_MAY_BE_ZERO: Final = {"compute_racks", "network_racks", "cpus_per_node", "idle_w", "price_usd"}

_BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "peak": (1e9, 1e19),
    "hbm_bytes": (1e8, 1e14),
    "hbm_bytes_per_s": (1e8, 1e15),
    "scale_up_bytes_per_s": (1e6, 1e15),
    "scale_out_bytes_per_s": (1e6, 1e15),
    "die_to_die_bytes_per_s": (1e6, 1e16),
    "bytes_per_s": (1e6, 1e16),
    "latency_s": (1e-9, 1.0),
    "tdp_w": (1.0, 1e5),
    "idle_w": (0.0, 1e6),
    "resident_w": (1e-3, 1e5),
    "busy_w": (1e-3, 1e6),
    "provisioned_w": (1e-3, 1e10),
    "supply_capacity_w": (1.0, 1e10),
    "price_usd": (0.0, 1e12),
    "num_dies": (1, 64),
    "scale_up_domain_npus": (1, 1e6),
    "cube_cores": (1, 1e5),
    "vector_cores": (1, 1e5),
    "streaming_multiprocessors": (1, 1e5),
}
"""Least and most of a figure by its field, SI: wide enough for any machine, too narrow for a figure without its prefix
or in another unit."""

_FALLING_W: Final = ("provisioned_w", "tdp_w", "busy_w", "resident_w", "idle_w")
"""Watts of one thing, of which none is above one before it."""

_MAY_BE_LEFT_OUT: Final = {"source": USER_SOURCE, "confidence": Confidence.ESTIMATE}


def read_description(
    kind: type[Built], values: Mapping[str, object], find_chip: Finder, read_quantity: QuantityReader | None = None
) -> Built:
    """An entry of that class; a chip may be given by name, a figure as a text that `read_quantity` reads.

    `DescriptionError` names the field and the fix.
    """
    return cast(Built, _Reader(find_chip, read_quantity).entry(kind, values, ""))


def describe(value: object) -> Any:
    """The entry as `read_description` takes it: mappings, lists, texts, numbers; what is None is left out."""
    if isinstance(value, Figure):
        return {
            "value": value.value,
            "unit": value.unit,
            "source": value.source,
            "confidence": value.confidence.value,
        }
    if isinstance(value, Struct):
        members = ((name, getattr(value, name)) for name in value.__struct_fields__)
        return {name: describe(member) for name, member in members if member is not None}
    if isinstance(value, tuple):
        return [describe(item) for item in cast(tuple[object, ...], value)]
    return value.value if isinstance(value, StrEnum) else value


class _Reader:
    def __init__(self, find_chip: Finder, read_quantity: QuantityReader | None) -> None:
        self._find_chip = find_chip
        self._read_quantity = read_quantity

    def entry(self, kind: type[Struct], value: object, path: str) -> Any:
        """A struct from a mapping with exactly its fields."""
        if kind is Chip and isinstance(value, str):
            return self._known_chip(value, path)
        if not isinstance(value, Mapping):
            raise DescriptionError(path, f"is {_shown(value)}", "give a section of settings")
        given = cast(Mapping[str, object], value)
        known = {field.name: field for field in fields(kind)}
        for key in given:
            if key not in known:
                raise DescriptionError(_join(path, str(key)), "is not known here", _known(str(key), list(known)))
        made: dict[str, Any] = {}
        for name, field in known.items():
            if given.get(name) is not None:
                made[name] = self._value(field.type, given[name], _join(path, name), counted_in(kind, name))
            elif name in _MAY_BE_LEFT_OUT:
                made[name] = _MAY_BE_LEFT_OUT[name]
            elif field.required:
                raise DescriptionError(_join(path, name), "is missing", "give it")
        _check_order(made, path)
        return kind(**made)

    def _known_chip(self, name: str, path: str) -> Chip:
        try:
            return self._find_chip(name)
        except UnknownNameError as error:
            problem, _, fix = str(error).partition("; ")
            raise DescriptionError(path, f"names an {problem}", f"{fix}; or give a section of figures") from None

    def _value(self, kind: Any, value: object, path: str, unit: str) -> Any:
        if get_origin(kind) is UnionType:  # a figure that may be left out
            kind = next(one for one in get_args(kind) if one is not NoneType)
        if kind is Figure:
            return _figure(self._numeric(value, path, unit), path, unit)
        if get_origin(kind) is tuple:
            items = cast(list[object], value) if isinstance(value, list) else None
            if items is None or len(items) > MAX_ITEMS:
                raise DescriptionError(path, f"is {_shown(cast(object, value))}", f"give a list, at most {MAX_ITEMS:,}")
            return tuple(self._value(get_args(kind)[0], item, f"{path}.{at}", unit) for at, item in enumerate(items))
        if issubclass(kind, Struct):
            return self.entry(kind, value, path)
        if issubclass(kind, StrEnum):
            known = [str(one) for one in kind]
            if not isinstance(value, str) or value not in known:
                raise DescriptionError(path, f"is {_shown(value)}", f"give {' or '.join(known)}")
            return kind(value)
        if kind is int:
            return int(_count(value, path, 1))
        if not isinstance(value, str) or not value.strip():
            raise DescriptionError(path, f"is {_shown(value)}", "give a text")
        return value

    def _numeric(self, value: object, path: str, unit: str) -> object:
        """A figure that is a text with its unit, such as 400GB/s, as a number."""
        if self._read_quantity is None or not isinstance(value, str) or not value[:1].isdigit():
            return value
        try:
            return self._read_quantity(value, unit)
        except ValueError as error:
            raise DescriptionError(path, f"is {_shown(value)}", str(error).partition("; ")[2]) from None


def counted_in(kind: type[Any], name: str) -> str:
    """The unit of a figure by its field: SI, or nothing where it counts things."""
    if kind is PeakRates:
        return "FLOP/s"
    return next((unit for ending, unit in _UNITS.items() if f"_{name}".endswith(f"_{ending}")), "")


def _figure(value: object, path: str, unit: str) -> Figure:
    given: Mapping[str, object] = {"value": value}
    if isinstance(value, Mapping):
        given = cast(Mapping[str, object], value)
    names = list(Figure.__struct_fields__)
    for key in given:
        if key not in names:
            raise DescriptionError(_join(path, str(key)), "is not known here", _known(str(key), names))
    if given.get("value") is None:
        raise DescriptionError(_join(path, "value"), "is missing", "give a number")
    text, factor = _unit(given.get("unit"), path, unit)
    least = 0 if path.split(".")[-1] in _MAY_BE_ZERO else 1
    number = _count(given["value"], path, least) if not unit else factor * _positive(given["value"], path, least)
    _check_bounds(number, path, unit)
    source = given.get("source", USER_SOURCE)
    confidence = given.get("confidence", Confidence.ESTIMATE)
    if not isinstance(source, str) or not source.strip():
        raise DescriptionError(_join(path, "source"), f"is {_shown(source)}", "give a text")
    if confidence not in list(Confidence):
        known = " or ".join(Confidence)
        raise DescriptionError(_join(path, "confidence"), f"is {_shown(confidence)}", f"give {known}")
    return Figure(number, text, source, Confidence(cast(str, confidence)))


def _check_bounds(number: float, path: str, unit: str) -> None:
    names = path.split(".")
    bounds = _BOUNDS.get(names[-1]) or _BOUNDS.get(names[-2] if len(names) > 1 else "")
    if bounds is None or bounds[0] <= number <= bounds[1]:
        return
    least, most = (_with_unit(one, unit) for one in bounds)
    hint = (
        f", or one with its prefix, such as {{value: {number:g}, unit: T{unit}}}" if number < bounds[0] and unit else ""
    )
    raise DescriptionError(path, f"is {_with_unit(number, unit)}", f"give a number from {least} to {most}{hint}")


def _check_order(made: Mapping[str, Any], path: str) -> None:
    given = [(name, made[name]) for name in _FALLING_W if made.get(name) is not None]
    for (above, most), (below, figure) in pairwise(given):
        if figure.value > most.value:
            problem = f"is {_with_unit(figure.value, 'W')}, above the {_with_unit(most.value, 'W')} of {above}"
            raise DescriptionError(_join(path, below), problem, f"give at most {_with_unit(most.value, 'W')}")


def _with_unit(number: float, unit: str) -> str:
    return f"{number:g} {unit}".rstrip()


def _unit(given: object, path: str, unit: str) -> tuple[str, float]:
    """The unit of a figure and the factor of the prefix with which it was given."""
    if given is None:
        return unit or path.split(".")[-1].replace("_", " "), 1.0
    if not isinstance(given, str) or not given.strip():
        raise DescriptionError(_join(path, "unit"), f"is {_shown(given)}", "give a text")
    if not unit:
        return given, 1.0
    # Operations on integers are often told apart from those on floats (TOP/s, TFLOP/s); the field says which they are.
    same = f"{given.removesuffix('OP/s').removesuffix('FL')}{unit}" if given.endswith("OP/s") else given
    prefix = same.removesuffix(unit)
    if prefix == same or prefix not in _PREFIXES:
        raise DescriptionError(_join(path, "unit"), f"is {_shown(given)}", f"give {unit}, or k, M, G, T, P before it")
    return unit, _PREFIXES[prefix]


def _positive(value: object, path: str, least: int) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        # YAML 1.1 takes 5e11 for a text.
        looks_so = isinstance(value, str) and re.fullmatch(r"[+-]?[\d.]+e\d+", value, re.ASCII | re.IGNORECASE)
        hint = ", with a point and a signed exponent, such as 5.0e+11" if looks_so else ""
        raise DescriptionError(path, f"is {_shown(value)}", f"give a number{hint}")
    if value < 0 or (least and value == 0):
        raise DescriptionError(path, f"is {value:g}", f"give a number {'above' if least else 'not below'} 0")
    return float(value)


def _count(value: object, path: str, least: int) -> float:
    number = _positive(value, path, least)
    if number != int(number) or number > MAX_COUNT:
        raise DescriptionError(path, f"is {number:g}", f"give a whole number up to {MAX_COUNT:,}")
    return number


def _known(key: str, known: list[str]) -> str:
    near = get_close_matches(key, known)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "a section"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
