"""The catalog of trace formats, and the three kinds of format there are.

A format declares what its traces are known by and where in them to look; how rows are read, checked and told to be
wrong is the same for all formats of a kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from scheduler.protocol.catalog import Catalog
from scheduler.sources.traces.csv_rows import CsvFormat
from scheduler.sources.traces.json_rows import JsonFormat

if TYPE_CHECKING:
    from scheduler.sources.synthetic.workload import Workload


class GeneratedFormat(Struct, frozen=True):
    """Not rows but a description of requests to generate: `takes` says of which paths, `load` reads it."""

    takes: Callable[[str], bool]
    load: Callable[[str], Workload]


FORMATS: Final = Catalog[CsvFormat | JsonFormat | GeneratedFormat]("format", package="scheduler.sources.traces.formats")
"""By the name that `--format` takes."""
