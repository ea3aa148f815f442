"""Writes a snapshot as Prometheus text 0.0.4 or OpenMetrics 1.0.

prometheus_client's own writer takes some 10 us a sample, which would be felt in the process of the scheduler: here what
does not change between two scrapes, names and labels, is written once and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct

from scheduler.metrics.export.names.schemes import families_of
from scheduler.metrics.family import Family, HistogramFamily, Labels
from scheduler.metrics.layout import Layout
from scheduler.metrics.snapshot import Snapshot

TEXT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

OPENMETRICS_END: Final = "# EOF\n"

MAX_KEPT_FORMS: Final = 4
"""Templates that are kept: two formats of two layouts."""


class Template(Struct, frozen=True):
    """A family without its numbers: its head, the start of each line, and where the numbers are read.

    `lines_per_point`: so many consecutive lines together are one point of one series, as those of a histogram.
    """

    head: str
    starts: tuple[str, ...]
    values: Callable[[Snapshot], Sequence[float]]
    lines_per_point: int = 1


def render(snapshot: Snapshot, *, openmetrics: bool = False, timestamp_s: float | None = None) -> str:
    """All families of a snapshot, under the names that its layout asks for.

    With a time, in seconds since 1970, every sample carries it. OpenMetrics ends with `OPENMETRICS_END`. Series come in
    the order of the catalogue and of the layout.
    """
    end = "\n" if timestamp_s is None else f" {_timestamp(timestamp_s, openmetrics=openmetrics)}\n"
    texts: list[str] = []
    for template in templates(snapshot.layout, openmetrics):
        texts.append(template.head)
        texts += [
            f"{start}{value!r}{end}" for start, value in zip(template.starts, template.values(snapshot), strict=True)
        ]
    if openmetrics:
        texts.append(OPENMETRICS_END)
    return "".join(texts)


def _timestamp(timestamp_s: float, *, openmetrics: bool) -> str:
    """The older format counts whole milliseconds."""
    return repr(timestamp_s) if openmetrics else str(round(timestamp_s * 1000))


@lru_cache(maxsize=MAX_KEPT_FORMS)
def templates(layout: Layout, openmetrics: bool) -> tuple[Template, ...]:
    """All families, in the order of the catalogue; they are kept as long as the layout."""
    return tuple(
        _histogram(family, layout)
        if isinstance(family, HistogramFamily)
        else _plain(family, layout, openmetrics=openmetrics)
        for family in families_of(layout)
    )


def _plain(family: Family, layout: Layout, *, openmetrics: bool) -> Template:
    name, kind = family.name, str(family.kind)
    if openmetrics and kind == "counter":
        # OpenMetrics names a family of counters without the suffix that its samples have, and knows no others.
        name, kind = (name.removesuffix("_total"), kind) if name.endswith("_total") else (name, "unknown")
    starts = tuple(f"{family.name}{_label_text(family.labels, values)} " for values in family.series(layout))
    return Template(_head(name, kind, family.help), starts, family.values)


def _histogram(family: HistogramFamily, layout: Layout) -> Template:
    name, read = family.name, family.read
    bounds = bucket_labels(family.bounds)

    def values(snapshot: Snapshot) -> list[float]:
        found: list[float] = []
        for totals in read(snapshot):
            found += totals.counts
            found += (totals.counts[-1], totals.sum_s)
        return found

    starts: list[str] = []
    for labels in family.series(layout):
        own = _label_text(family.labels, labels)
        others = f"{own[1:-1]}," if own else ""
        starts += [f'{name}_bucket{{{others}le="{bound}"}} ' for bound in bounds]
        starts += [f"{name}_count{own} ", f"{name}_sum{own} "]
    return Template(_head(name, "histogram", family.help), tuple(starts), values, len(bounds) + 2)


def bucket_labels(bounds: Sequence[float]) -> list[str]:
    """What the label `le` says of each bucket."""
    return [*(repr(float(bound)) for bound in bounds), "+Inf"]


def _head(name: str, kind: str, text: str) -> str:
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def _label_text(names: Labels, values: Labels) -> str:
    if not names:
        return ""
    pairs = (f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return f"{{{','.join(pairs)}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
