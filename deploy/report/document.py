"""The frame of a page: one self-contained HTML file, and small parts that pages share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from deploy.dashboards.units import shown
from deploy.report.style import SCRIPT, STYLE

NOTHING: Final = "-"

ICON: Final = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E"
"""Empty, so that a browser asks nobody for one."""


def document(title: str, body: str) -> str:
    """The whole file."""
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="{ICON}">'
        f"<style>{STYLE}</style></head>\n<body><main>\n{body}\n</main><script>{SCRIPT}</script></body></html>\n"
    )


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure that is to be seen first; `mood` is empty, `good` or `bad`."""

    name: str
    value: str
    mood: str = ""


def tiles(of: Sequence[Tile]) -> str:
    """In a row."""
    return (
        f'<div class="tiles {"fives" if len(of) % 5 == 0 else "fours"}">'
        + "".join(
            f'<div class="tile"><span>{escape(tile.name)}</span><b class="{tile.mood}">{escape(tile.value)}</b></div>'
            for tile in of
        )
        + "</div>"
    )


def section(title: str, about: str, *parts: str) -> str:
    """A heading, a sentence, and what belongs to it."""
    lead = f'<p class="about">{escape(about)}</p>' if about else ""
    return f"<h2>{escape(title)}</h2>{lead}{''.join(parts)}"


def grid(*figures: str) -> str:
    """Figures beside each other, as many as fit."""
    inside = "".join(figures)
    return f'<div class="grid">{inside}</div>' if inside else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are text."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="card scroll"><table><tr>{top}</tr>{lines}</table></div>'


def settings(values: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    """Names and values; those that are not as usual stand out."""
    rows = "".join(
        f'<div class="{"changed" if name in usual and usual[name] != value else ""}"><span>{escape(name)}</span>'
        f"<b>{escape(plain(value))}</b></div>"
        for name, value in values.items()
    )
    return f'<div class="card"><div class="settings">{rows}</div></div>'


def plain(value: Any) -> str:
    """A setting as a person reads it."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.12g}" if isinstance(value, float) else str(value)


def span(seconds: float) -> str:
    """A length of time in words, such as 59 min 51 s."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60:,} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else shown("s", seconds)


def amount(unit: str, value: float | None) -> str:
    """With its unit; `NOTHING` for what does not exist."""
    return NOTHING if value is None else shown(unit, value)
