"""A sweep as a page with its front: points by two objectives at a time, and all of them in a table."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from deploy.pages.document import LIGHT_AND_DARK, card, document, grid, section, table
from deploy.pages.plots import Figure, column, layout
from deploy.sweep.front import Point
from deploy.sweep.page import heading, label, shown
from deploy.sweep.space import Objective
from deploy.terminal.whole_file import write_whole

PAGE_NAME: Final = "index.html"
HEIGHT_PX: Final = 320
MAX_TABLE_ROWS: Final = 500

FRONT: Final = "var(--b)"
OTHERS: Final = "var(--a)"


def write_sweep_page(
    folder: Path,
    points: Sequence[Point],
    objectives: Sequence[Objective],
    on_front: Sequence[int],
    title: str,
    answer: str = "",
) -> str:
    """Write the page into a folder that is there; returns its path. `answer`: HTML that stands before all points."""
    path = folder / PAGE_NAME
    write_whole(path, _page(points, objectives, on_front, title, answer).encode())
    return str(path)


def _page(
    points: Sequence[Point], objectives: Sequence[Objective], on_front: Sequence[int], title: str, answer: str
) -> str:
    pairs = combinations(objectives, 2)
    cards = [
        card(f"{heading(x)} and {heading(y)}", _better(x, y), _figure(points, on_front, x, y), HEIGHT_PX)
        for x, y in pairs
    ]
    best = set(on_front)
    others = [at for at, point in enumerate(points) if at not in best and not point.errors]
    rows = [_row(points[at], objectives, "yes" if at in best else "") for at in (*on_front, *others)]
    head = ["on the front", *points[0].parameters, *map(heading, objectives)]
    failed = [[label(point), point.errors[0]] for point in points if point.errors]
    parts = [
        f"<h1>{escape(title)}</h1>",
        answer,
        section(
            "Front",
            "No other point beats these; put the pointer on one to see its settings.",
            grid(*cards),
        ),
        section("Points", _more(len(rows)), table(head, rows[:MAX_TABLE_ROWS])),
    ]
    if failed:
        parts.append(section("Failed", "", table(["point", "why"], failed[:MAX_TABLE_ROWS])))
    return document(title, "".join(parts))


def _more(num_rows: int) -> str:
    return "" if num_rows <= MAX_TABLE_ROWS else f"the first {MAX_TABLE_ROWS:,} of {num_rows:,}; --json has all"


def _better(x: Objective, y: Objective) -> str:
    sides = [("right" if x.is_maximised else "left"), ("top" if y.is_maximised else "bottom")]
    return f"better to the {sides[0]} and to the {sides[1]}"


def _figure(points: Sequence[Point], on_front: Sequence[int], x: Objective, y: Objective) -> Figure:
    best = set(on_front)
    others = [point for at, point in enumerate(points) if at not in best and not point.errors]
    front = sorted((points[at] for at in on_front), key=lambda point: point.figure(x.path) or 0.0)
    traces = [
        _dots(others, x, y, {"mode": "markers", "marker": {"color": OTHERS, "size": 7, "opacity": 0.5}}),
        _dots(front, x, y, {"mode": "markers", "marker": {"color": FRONT, "size": 9}}),
    ]
    axes = ({"title": {"text": heading(one), "standoff": 12}, **_ticks(one)} for one in (x, y))
    return Figure(traces, layout(LIGHT_AND_DARK, *axes), [("on the front", FRONT), ("beaten", OTHERS)])


def _ticks(objective: Objective) -> dict[str, Any]:
    return {"tickformat": ".1%"} if objective.path == "slo.attainment" else {}


def _dots(points: Sequence[Point], x: Objective, y: Objective, look: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": column([point.figure(x.path) for point in points]),
        "y": column([point.figure(y.path) for point in points]),
        "text": [escape(label(point)) for point in points],
        "hovertemplate": "%{text}<br>%{x} · %{y}<extra></extra>",
        **look,
    }


def _row(point: Point, objectives: Sequence[Objective], on_front: str) -> list[str]:
    figures = [point.figure(one.path) for one in objectives]
    cells = ["-" if value is None else shown(one, value) for one, value in zip(objectives, figures, strict=True)]
    return [on_front, *map(str, point.parameters.values()), *cells]
