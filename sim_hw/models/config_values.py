"""Typed reading of a model's configuration: each value is taken by name, and what is wrong is named."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import cast

from msgspec import Struct, field

from sim_hw.errors import DescriptionError

MAX_VALUE = 10**8
"""Above any size or count of a model; larger values are slips."""

Aliases = Mapping[str, tuple[str, ...]]
"""A name of a field to others under which it may be found."""


class ConfigValues(Struct, frozen=True):
    """The fields of one configuration. `defaults` are of fields that are left out."""

    family: str
    values: Mapping[str, object]
    aliases: Aliases = field(default_factory=dict[str, tuple[str, ...]])
    defaults: Mapping[str, int] = field(default_factory=dict[str, int])

    def count(self, name: str, default: int | None = None, least: int = 1, most: int = MAX_VALUE) -> int:
        """An integer from `least` to `most`; without a default it must be given and not null."""
        found, value = self._find(name)
        if value is None:
            usual = self.defaults.get(name, default)
            if usual is None:
                raise self._missing(name)
            return usual
        if type(value) is not int or not least <= value <= most:
            raise DescriptionError(found, f"is {shown(value)}", f"give an integer from {least} to {most:,}")
        return value

    def optional_count(self, name: str, least: int = 1) -> int | None:
        """An integer, or None where the configuration says null or nothing and there is no default."""
        return self.count(name, least=least) if self.has(name) or name in self.defaults else None

    def number(self, name: str) -> float | None:
        """A number above 0, or None where the configuration says null or nothing."""
        found, value = self._find(name)
        if value is None:
            return None
        if type(value) not in (int, float) or not 0 < cast(float, value) < MAX_VALUE:
            raise DescriptionError(found, f"is {shown(value)}", f"give a number above 0, below {MAX_VALUE:,}")
        return float(cast(float, value))

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        found, value = self._find(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise DescriptionError(found, f"is {shown(value)}", "give true or false")
        return value

    def text(self, name: str) -> str | None:
        """A text; None where there is none."""
        value = self._find(name)[1]
        return value if isinstance(value, str) else None

    def counts(self, name: str) -> tuple[int, ...]:
        """A list of integers from 0 on; empty where it is not given."""
        found, value = self._find(name)
        if value is None:
            return ()
        items = cast(list[object], value) if isinstance(value, list) else [value]
        if not isinstance(value, list) or not all(type(item) is int and item >= 0 for item in items):
            raise DescriptionError(found, f"is {shown(cast(object, value))}", "give a list of integers from 0 on")
        return tuple(cast(list[int], items))

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; empty where it is not given."""
        found, value = self._find(name)
        if value is None:
            return ()
        items = cast(list[object], value) if isinstance(value, list) else [value]
        if not isinstance(value, list) or not all(isinstance(item, str) for item in items):
            raise DescriptionError(found, f"is {shown(cast(object, value))}", "give a list of texts")
        return tuple(cast(list[str], items))

    def has(self, name: str) -> bool:
        """Whether it is given, and not null."""
        return self._find(name)[1] is not None

    def require(self, holds: bool, name: str, problem: str, fix: str) -> None:
        """`DescriptionError` on that field unless `holds`."""
        if not holds:
            raise DescriptionError(self._find(name)[0], problem, fix)

    def _find(self, name: str) -> tuple[str, object]:
        """The name under which a value stands, and the value; None if there is none."""
        for candidate in (name, *self.aliases.get(name, ())):
            if self.values.get(candidate) is not None:
                return candidate, self.values[candidate]
        return name, None

    def _missing(self, name: str) -> DescriptionError:
        names = (name, *self.aliases.get(name, ()))
        near = get_close_matches(name, [key for key in self.values if key not in names], 1, 0.8)
        hint = f" (is {near[0]} meant for it?)" if near else ""
        return DescriptionError(" or ".join(names), "is missing", f"{self.family} needs it{hint}")


def shown(value: object) -> str:
    """A value as an error names it, on one line."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
