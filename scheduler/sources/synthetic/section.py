"""A strict reader of nested settings: each value is taken by name and kind, and what nobody took is an error."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from msgspec import Struct, field

from scheduler.protocol.errors import ConfigError
from scheduler.protocol.quantity import QuantityError, read_count, read_quantity, unit_of
from scheduler.sources.synthetic.workload import FieldError
from scheduler.sources.traces.rows import shorten

Built = TypeVar("Built")

Overrides = Mapping[str, tuple[object, str]]
"""Dotted key to (value, where it was given), such as {"arrivals.rate_per_s": (8.0, "--rate-per-s")}."""


class Section(Struct, frozen=True):
    """Named values with their places. `path` is the dotted name of the section, `place` where it begins."""

    path: str
    place: str
    values: dict[str, object] = field(default_factory=dict[str, object])
    places: dict[str, str] = field(default_factory=dict[str, str])
    taken: set[str] = field(default_factory=set[str])
    items: dict[str, list[Section]] = field(default_factory=dict[str, "list[Section]"])
    """Of lists: those of their entries that are sections, with the places of their values."""

    def put(self, key: str, value: object, place: str) -> None:
        """Set one value, in place of what was there."""
        self.values[key] = value
        self.places[key] = place

    def override(self, overrides: Overrides) -> None:
        """Set values by dotted keys."""
        for dotted, (value, place) in overrides.items():
            section = self
            *parents, key = dotted.split(".")
            for parent in parents:
                inner = section.values.get(parent)
                if not isinstance(inner, Section):
                    inner = Section(section.name_of(parent), place)
                    section.put(parent, inner, place)
                section = inner
            section.put(key, value, place)

    def name_of(self, key: str) -> str:
        """A key with the names of the sections around it."""
        return f"{self.path}.{key}" if self.path else key

    def error(self, key: str, problem: str, fix: str) -> ConfigError:
        """One line with place, name, problem and fix."""
        return ConfigError(f"{self.places.get(key, self.place)}: {self.name_of(key)} {problem}; {fix}")

    def number(self, key: str, default: float | None = None) -> float:
        """A number, or a text of one with its unit, as `read_quantity` reads it; without a default it must be given."""
        value = self._read(key, self._take(key, default))
        if type(value) not in (int, float):
            raise self.error(key, f"is {kind(value)}", "give a number")
        try:
            return float(cast(float, value))
        except OverflowError:
            raise self.error(key, f"is {kind(value)}", "give a smaller number") from None

    def integer(self, key: str, default: int | None = None) -> int:
        """An integer, or a text of one such as 20k; without a default it must be given."""
        value = self._read(key, self._take(key, default), is_whole=True)
        if type(value) is not int:
            raise self.error(key, f"is {kind(value)}", "give an integer")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """A text; without a default it must be given."""
        value = self._take(key, default)
        if not isinstance(value, str):
            raise self.error(key, f"is {kind(value)}", "give a text")
        return value

    def choice(self, key: str, default: str, known: list[str]) -> str:
        """A text that is one of the known ones."""
        value = self.text(key, default)
        if value not in known:
            raise self.error(key, f"is {shorten(value)}", f"give {' or '.join(known)}{_near(value, known)}")
        return value

    def integers(self, key: str) -> list[int]:
        """A list of integers that must be given."""
        value = self._take(key, None)
        if not isinstance(value, list) or not set(map(type, cast(list[Any], value))) <= {int}:
            raise self.error(key, f"is {kind(cast(object, value))}", "give a list of integers")
        return cast(list[int], value)

    def sections(self, key: str) -> list[Section]:
        """A list of sections; empty if it is not given."""
        value = self._take(key, [])
        items = self.items.get(key, [])
        if not isinstance(value, list) or len(cast(list[object], value)) != len(items):
            raise self.error(key, f"is {kind(cast(object, value))}", "give a list of sections of settings")
        return items

    def section(self, key: str) -> Section:
        """A section that must be given."""
        value = self._take(key, None)
        if not isinstance(value, Section):
            raise self.error(key, f"is {kind(value)}", "give a section of settings")
        return value

    def build(self, make: Callable[[], Built]) -> Built:
        """What `make` makes of the values it takes; then every key must have been taken."""
        try:
            built = make()
        except FieldError as error:
            # A misspelt key may be why another has a value that cannot be used.
            self._refuse_unknown()
            raise ConfigError(f"{self.places.get(error.field, self.place)}: {self.name_of(str(error))}") from None
        self._refuse_unknown()
        return built

    def _read(self, key: str, value: object, *, is_whole: bool = False) -> object:
        """What a text says as a quantity in the unit of its key; all else, and a text without a number, as it is."""
        if not isinstance(value, str) or not value[:1].isdigit():
            return value
        try:
            return read_count(value) if is_whole else read_quantity(value, unit_of(key))
        except QuantityError as error:
            raise self.error(key, f"is {kind(value)}", str(error).partition("; ")[2]) from None

    def _refuse_unknown(self) -> None:
        for key in self.values:
            if key not in self.taken:
                known = sorted(self.taken)
                raise self.error(key, "is not known here", f"known: {', '.join(known)}{_near(key, known)}")

    def _take(self, key: str, default: object) -> object:
        self.taken.add(key)
        value = self.values.get(key, default)
        if value is None:
            misspelt = [other for other in self.values if other not in self.taken]
            near = difflib.get_close_matches(key, misspelt, 1)
            raise self.error(key, "is missing", f"give it (is {near[0]} meant for it?)" if near else "give it")
        return value


def _near(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def kind(value: object) -> str:
    """A value as an error names it."""
    return "a section" if isinstance(value, Section) else shorten(value)
