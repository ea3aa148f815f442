"""A catalog: entries of one kind by name, and the error for a name that is not among them.

Chips and clusters are found in the modules of their package (`SheetCatalog`): every module that has a tuple `SHEETS`
adds its entries, so that a new file is all that a new chip or cluster needs. Entries are in the order of file names.
A module is imported when an entry is looked for that the modules before it did not have; first come those that are
called as the name begins, so that of `ascend-910c` only `ascend.py` is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from importlib import import_module
from itertools import chain
from pkgutil import iter_modules
from typing import Generic, Protocol, TypeVar

from sim_hw.errors import unknown_name


class Named(Protocol):
    """Whatever has a name."""

    @property
    def name(self) -> str:
        """As a user writes it."""
        ...


Entry = TypeVar("Entry", bound=Named)


class Catalog(Generic[Entry]):
    """Entries by name. `kind` is what an error calls one, such as "chip"; `load` gives all, on first use."""

    def __init__(self, kind: str, load: Callable[[], Iterable[Entry]]) -> None:
        self.kind = kind
        self._load = load

    @cached_property
    def _by_name(self) -> dict[str, Entry]:
        by_name: dict[str, Entry] = {}
        for entry in self._load():
            if by_name.setdefault(entry.name, entry) is not entry:
                raise ValueError(f"two entries are called {self.kind} {entry.name}; rename one")
        return by_name

    def __iter__(self) -> Iterator[Entry]:
        """All entries, in their order."""
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: object) -> bool:
        """Whether there is an entry of that name."""
        return isinstance(name, str) and self.get(name) is not None

    def names(self) -> tuple[str, ...]:
        """Of all entries, in their order."""
        return tuple(self._by_name)

    def get(self, name: str) -> Entry | None:
        """The entry of that name, or None."""
        return self._by_name.get(name)

    def find(self, name: str) -> Entry:
        """The entry of that name; `UnknownNameError` names the nearest and all known ones."""
        found = self.get(name)
        if found is None:
            raise unknown_name(self.kind, name, self._by_name)
        return found


class SheetCatalog(Catalog[Entry]):
    """The `SHEETS` of all modules of a package."""

    def __init__(self, kind: str, package: str) -> None:
        super().__init__(kind, lambda: chain.from_iterable(map(self._sheets, self._modules)))
        self._package = package
        self._found: dict[str, Entry] = {}

    @property
    def _modules(self) -> list[str]:
        return [module.name for module in iter_modules(import_module(self._package).__path__)]

    def _sheets(self, module: str) -> Iterable[Entry]:
        return getattr(import_module(f"{self._package}.{module}"), "SHEETS", ())

    def get(self, name: str) -> Entry | None:
        """The entry of that name, or None once all modules were asked; what was found needs no second look."""
        if name not in self._found:
            beginning = name.replace("-", "_")
            likely_first = sorted(self._modules, key=lambda module: not beginning.startswith(module))
            sheets = chain.from_iterable(map(self._sheets, likely_first))
            found = next((sheet for sheet in sheets if sheet.name == name), None)
            if found is None:
                return None
            self._found[name] = found
        return self._found[name]
