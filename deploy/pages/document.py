"""A page for reading, such as a report: its frame, its cards, tables and tiles. How it looks stands in `style`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final
from zlib import crc32

from msgspec import Struct

from deploy.pages.plots import Figure, Look, legend, plot, whole_page
from deploy.pages.style import STYLE
from deploy.pages.units import shown

NOTHING: Final = "-"

MAX_TEXT: Final = 160
"""Characters of a setting that are shown."""

_WIDE: Final = "<figure class=wide"
_ROWS: Final = ("", "ones", "twos", "threes")
"""Classes of the style sheet by how many figures stand in a row."""

LIGHT_AND_DARK: Final = Look("var(--soft)", "var(--grid)", "var(--ink)", "var(--page)")
"""The colours of `style`."""


def document(title: str, body: str) -> str:
    """The whole file."""
    return whole_page(title, STYLE, f"<main>\n{body}\n</main>")


def card(title: str, about: str, figure: Figure, height_px: int, *, wide: bool = False) -> str:
    """A figure with its title and an explanation, and with its legend where there is more than one thing to tell."""
    marks = legend(figure.legend) if len(figure.legend) > 1 else ""
    return (
        f"{_WIDE if wide else '<figure'}><h3>{escape(title)}</h3><figcaption>{escape(about)}</figcaption>"
        f"<div>{plot(figure, height_px)}</div>{marks}</figure>"
    )


class Tile(Struct, frozen=True):
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
    """Figures beside each other: three in a row, or two where three would leave one alone. Empty ones are left out; one
    that is wide has a row of its own."""
    rows: list[list[str]] = [[]]
    for figure in filter(None, figures):
        if figure.startswith(_WIDE):
            rows += [[figure], []]
        else:
            rows[-1].append(figure)
    return "".join(_row(part) for row in rows for part in _parts(row))


def _row(figures: Sequence[str]) -> str:
    return f'<div class="grid {_ROWS[len(figures)]}">{"".join(figures)}</div>'


def _parts(figures: Sequence[str]) -> Iterator[Sequence[str]]:
    """Threes, then what is left as twos; one alone only if there is no other."""
    num_in_twos = {0: 0, 1: 4, 2: 2}[len(figures) % 3] if len(figures) > 1 else len(figures)
    for size, begin, end in ((3, 0, len(figures) - num_in_twos), (2, len(figures) - num_in_twos, len(figures))):
        for first in range(begin, end, size):
            yield figures[first : first + size]


def table(head: Sequence[str], rows: Sequence[Sequence[str]], num_prose: int = 0) -> str:
    """Cells are text; those of the last `num_prose` columns are sentences, which wrap."""
    first_prose = len(head) - num_prose
    kinds = [' class="text wrap"' if column >= first_prose else "" for column in range(len(head))]
    top = "".join(f"<th{kind}>{escape(name)}</th>" for kind, name in zip(kinds, head, strict=True))
    lines = "".join(
        f"<tr>{''.join(f'<td{kind}>{escape(cell)}</td>' for kind, cell in zip(kinds, row, strict=True))}</tr>"
        for row in rows
    )
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
    if isinstance(value, str) and len(value) > MAX_TEXT:
        # Texts of files, of which it matters whether they differ.
        return f"{value[:MAX_TEXT]}... ({len(value):,} characters, {crc32(value.encode()):08x})"
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
