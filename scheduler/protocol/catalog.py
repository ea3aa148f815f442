"""Catalogs: things of one kind that a user chooses by name, and the one sentence about a name that is not known.

A catalog of a package is filled by the modules of that package, each of which registers what it defines when it is
imported. All are imported the first time a name is not known or somebody asks for all names: a run that names what is
there already does not wait for them, and a new module needs no entry in any list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from pkgutil import iter_modules
from typing import Final, TypeVar

from scheduler.protocol.errors import ConfigError

EntryT = TypeVar("EntryT")

SHOWN_CHARACTERS: Final = 40


class Catalog(Mapping[str, EntryT]):
    """Entries by name, in the order of registration; sorted by name if modules of a package register them.

    `kind`: the word for such a thing in errors. `package`: its modules register more entries. `besides`: what else may
    be given in place of a name, as the end of the list of known names.
    """

    def __init__(self, kind: str = "value", *, package: str = "", besides: str = "") -> None:
        self.kind: Final = kind
        self._package: Final = package
        self._besides: Final = [besides] if besides else []
        self._entries: Final[dict[str, EntryT]] = {}
        self._is_complete = not package

    def register(self, name: str, entry: EntryT) -> EntryT:
        """Make an entry known, once; a `ValueError` if the name is taken."""
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry
        return entry

    def find(self, name: str, place: str = "") -> EntryT:
        """The entry of a name; a `ConfigError`, which begins with `place` if there is one, lists the known names."""
        try:
            return self[name]
        except KeyError:
            problem = unknown(self.kind, name, self, ", ".join([*self, *self._besides]))
            raise ConfigError(f"{place}: {problem}" if place else problem) from None

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the order of iteration."""
        return tuple(self)

    def __getitem__(self, name: str) -> EntryT:
        if name not in self._entries:
            self._complete()
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        self._complete()
        return iter(sorted(self._entries) if self._package else self._entries)

    def __len__(self) -> int:
        self._complete()
        return len(self._entries)

    def _complete(self) -> None:
        """Import all modules of the package, once."""
        if not self._is_complete:
            for module in iter_modules(import_module(self._package).__path__, f"{self._package}."):
                import_module(module.name)
            self._is_complete = True


def unknown(kind: str, name: object, known: Iterable[str], listing: str = "") -> str:
    """The sentence "unknown KIND 'NAME'; did you mean ...? known: ..."; `listing` replaces the plain list of names."""
    names = list(known)
    near = get_close_matches(str(name), names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"unknown {kind} {shorten(name)}; {hint}known: {listing or ', '.join(names)}"


def shorten(value: object) -> str:
    """A value as it stands in a file or command line, on one line and not long."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."
