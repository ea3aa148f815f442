"""Typed reading of a model's configuration: each value is taken by name, and what is wrong is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import cast

from sim_hw.errors import DescriptionError

MAX_VALUE = 10**8
"""Above any size or count of a model; larger values are slips."""


@dataclass(frozen=True, slots=True)
class ConfigValues:
    """The fields of one configuration. `aliases` maps a name to others under which it may be found."""

    family: str
    values: Mapping[str, object]
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def count(self, name: str, default: int | None = None, least: int = 1, most: int = MAX_VALUE) -> int:
        """An integer from `least` to `most`; without a default it must be given and not null."""
        found, value = self._find(name)
        if value is None:
            if default is None:
                raise self._missing(name)
            return default
        if type(value) is not int or not least <= value <= most:
            raise DescriptionError(found, f"is {_shown(value)}", f"give an integer from {least} to {most:,}")
        return value

    def optional_count(self, name: str) -> int | None:
        """An integer, or None where the configuration says null or nothing."""
        return None if self._find(name)[1] is None else self.count(name)

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        found, value = self._find(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise DescriptionError(found, f"is {_shown(value)}", "give true or false")
        return value

    def counts(self, name: str) -> tuple[int, ...]:
        """A list of integers from 0 on; empty where it is not given."""
        found, value = self._find(name)
        if value is None:
            return ()
        items = cast(list[object], value) if isinstance(value, list) else [value]
        if not isinstance(value, list) or not all(type(item) is int and item >= 0 for item in items):
            raise DescriptionError(found, f"is {_shown(cast(object, value))}", "give a list of integers from 0 on")
        return tuple(cast(list[int], items))

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


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
