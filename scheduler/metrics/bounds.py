"""Bounds that a user sets on a result: `--fail-if 'ttft_s.p99>2'`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final, Literal

from msgspec import Struct

from scheduler.protocol.errors import ConfigError
from scheduler.protocol.quantity import QuantityError, read_quantity, unit_of

FORM: Final = "give PATH<VALUE or PATH>VALUE, such as ttft_s.p99>2"

JsonValue = str | int | float | bool | None | Mapping[str, "JsonValue"]


class Bound(Struct, frozen=True):
    """A comparison that must not hold; `path` names a number in the JSON of a result, dots for nesting."""

    path: str
    sign: Literal["<", ">"]
    value: float

    def is_broken(self, json: Mapping[str, JsonValue]) -> bool:
        """Whether the comparison holds. A path whose value is null is broken as well: nothing shows that it was kept.

        A path that does not exist, or lies in a part that is null, or names no number is a `ConfigError`.
        """
        number = self.value_in(json)
        if number is None:
            return True
        return number < self.value if self.sign == "<" else number > self.value

    def value_in(self, json: Mapping[str, JsonValue]) -> float | None:
        """The number at the path, None if it is null; errors as in `is_broken`."""
        node: JsonValue = json
        parts = self.path.split(".")
        for depth, part in enumerate(parts):
            if node is None:
                group = ".".join(parts[:depth])
                raise ConfigError(
                    f"{self.text}: {group} is null, it was not asked for or cannot be known of this run; "
                    f"ask for it (--{parts[0]}), or leave the bound out"
                )
            if not isinstance(node, Mapping) or part not in node:
                raise ConfigError(f"{self.text}: no such path{_near(self.path, json)}")
            node = node[part]
        if isinstance(node, Mapping):
            members = ", ".join(f"{self.path}.{key}" for key in node)
            raise ConfigError(f"{self.text}: names a group; take one of {members}")
        if isinstance(node, str | bool):
            raise ConfigError(f"{self.text}: {node!r} is no number; take a path that names one")
        return node

    @property
    def text(self) -> str:
        """The bound as a person would write it."""
        return f"fail-if {self.path}{self.sign}{self.value:g}"


def parse_bound(text: str) -> Bound:
    """Read a bound; what has not its form is a `ConfigError`. Whether the path exists is seen with a result at hand."""
    for sign in ("<", ">"):
        path, found, number = text.partition(sign)
        if not found:
            continue
        try:
            value = _value(number, path)
        except QuantityError:
            raise ConfigError(f"fail-if {text!r}: {number.strip()!r} is no number; {FORM}") from None
        if math.isnan(value) or not path.strip():
            break
        return Bound(path.strip(), sign, value)
    raise ConfigError(f"fail-if {text!r} is no comparison; {FORM}")


def _value(text: str, path: str) -> float:
    """A number, or a quantity in the unit of the part of the path that has one: `ttft_s.p99` is in seconds."""
    try:
        return float(text)
    except ValueError:
        return read_quantity(text, next((unit for part in path.strip().split(".") if (unit := unit_of(part))), ""))


def _near(path: str, json: Mapping[str, JsonValue]) -> str:
    known = list(_paths(json))
    near = get_close_matches(path, known, n=3)
    if not near:
        near = [other for other in known if path.split(".")[-1] in other.split(".")][:3]
    return f"; near: {', '.join(near)}" if near else f"; known: {', '.join(json)}"


def _paths(json: Mapping[str, JsonValue], prefix: str = "") -> Iterator[str]:
    """Paths of all leaves."""
    for key, value in json.items():
        if isinstance(value, Mapping):
            yield from _paths(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
