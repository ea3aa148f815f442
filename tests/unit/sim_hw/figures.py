"""Walks the entries of the catalogs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from sim_hw.figure import Figure


def figures(part: object) -> Iterator[Figure]:
    """All figures of an entry, however deep."""
    if isinstance(part, Figure):
        yield part
    elif isinstance(part, tuple):
        for item in part:
            yield from figures(item)
    elif dataclasses.is_dataclass(part):
        for field in dataclasses.fields(part):
            yield from figures(getattr(part, field.name))
