"""`python -m deploy.pages.metrics_page` writes docs/metrics.md from the catalogue of metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from scheduler.metrics.export.exposition import bucket_labels
from scheduler.metrics.export.names.schemes import SCHEMES, Scheme
from scheduler.metrics.family import AnyFamily, HistogramFamily

PATH: Final = Path(__file__).parents[2] / "docs" / "metrics.md"

_UNITS: Final = (
    ("_bytes_per_second", "B/s"),
    ("_seconds", "s"),
    ("_bytes", "B"),
    ("_joules", "J"),
    ("_watts", "W"),
    ("_ratio", "ratio"),
    ("_tokens", "tokens"),
    ("_info", "1"),
)
"""What the end of a name says of its unit; what ends otherwise is a count."""

MAX_SHOWN_BOUNDS: Final = 40
"""Longer rows of bounds are told by their ends."""

HEAD: Final = """\
# Metrics

Written from the code by `python -m deploy.pages.metrics_page`; a test holds it. Every family that a standing cluster
exports
at `http://127.0.0.1:9384/metrics`, by naming scheme. `supernode up --names LIST` (or `names` in the file of `--config`)
chooses the schemes; without it they are `own`, `vllm` and the exporter of the cluster's chips. All say the same of one
system: they are read from one snapshot a second. The exporter of other chips than the cluster's is refused.

A counter's name ends in `_total`, a histogram has `_bucket`, `_sum` and `_count`. [monitoring.md](monitoring.md) tells
how to look at them, and why rates are divided by that of `supernode_emulated_seconds_total`.
"""


def page() -> str:
    """The page as Markdown."""
    return "\n".join([HEAD, *(_section(name, scheme) for name, scheme in SCHEMES.items())])


def _section(name: str, scheme: Scheme) -> str:
    families = scheme.families()
    has_meanings = any(family.meaning for family in families)
    head = ["Name", "Type", "Unit", "Labels", "Help", *(["Here"] if has_meanings else [])]
    rows = [_row(family, has_meanings=has_meanings) for family in families]
    table = [head, ["---"] * len(head), *rows]
    lines = ["| " + " | ".join(row) + " |" for row in table]
    texts = [f"## {scheme.title} (`{name}`)", scheme.about, "\n".join(lines), *_buckets(families)]
    return "\n\n".join(texts) + "\n"


def _row(family: AnyFamily, *, has_meanings: bool) -> list[str]:
    kind = "histogram" if isinstance(family, HistogramFamily) else family.kind
    labels = ", ".join(f"`{label}`" for label in family.labels)
    meaning = [family.meaning] if has_meanings else []
    return [f"`{family.name}`", kind, family.unit or unit_of(family.name), labels or "-", family.help, *meaning]


def unit_of(name: str) -> str:
    """The unit that the name of a family ends in."""
    base = name.removesuffix("_total")
    return next((unit for ending, unit in _UNITS if base.endswith(ending)), "count")


def _buckets(families: Sequence[AnyFamily]) -> Iterator[str]:
    """Each set of bounds once, with the histograms that have it."""
    users: dict[tuple[float, ...], list[str]] = {}
    for family in families:
        if isinstance(family, HistogramFamily):
            users.setdefault(family.bounds, []).append(f"`{family.name}`")
    if users:
        lines = [f"- {', '.join(names)}: {_shown(bucket_labels(bounds))}" for bounds, names in users.items()]
        yield "Upper bounds of the buckets:\n\n" + "\n".join(lines)


def _shown(labels: Sequence[str]) -> str:
    """All of them, or of many the first and last few and how many there are."""
    if len(labels) <= MAX_SHOWN_BOUNDS:
        return " ".join(labels)
    return f"{' '.join(labels[:3])} ... {' '.join(labels[-3:])} ({len(labels)}, each less than 10 % above the last)"


def main() -> None:
    """Write the page and tell where."""
    PATH.write_text(page(), encoding="utf-8")
    print(PATH)


if __name__ == "__main__":
    main()
