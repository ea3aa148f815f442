"""Walks the entries of the catalogs."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import astuple

from sim_hw.figure import Figure


def figures(part: object) -> Iterator[Figure]:
    """All figures of an entry, however deep."""
    if isinstance(part, Figure):
        yield part
    elif isinstance(part, tuple):
        for item in part:
            yield from figures(item)
    elif isinstance(part, Struct):
        for value in astuple(part):
            yield from figures(value)
