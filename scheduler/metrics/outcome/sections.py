"""Sections of a page for people: small tables of aligned columns, in plain text.

No terminal library takes part: importing one would cost more than a short replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

LABEL_WIDTH: Final = 12
COLUMN_WIDTH: Final = 13
"""Six columns beside the labels make 90 characters; equal widths align all sections with one another."""


class Section(Struct, frozen=True):
    """A small table: its title stands above the labels, `rows` are (label, *cells); `notes`, one for each row if any,
    stand behind them, `about` below them all."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    about: str = ""


def page_text(title: str, sections: Sequence[Section], footer: str) -> str:
    """The whole page, ending in a newline; a section without rows says nothing and is left out."""
    blocks = [title] if title else []
    for section in sections:
        if section.rows:
            about = [f"  ({section.about})"] if section.about else []
            blocks.append("\n".join([*section_lines(section), *about]))
    return "\n\n".join([*blocks, footer]) + "\n"


def section_lines(section: Section) -> list[str]:
    """Numbers end where the names of their columns end; a long label takes its room from its first number."""
    cells = [section.columns, *(row[1:] for row in section.rows)]
    widths = [max(COLUMN_WIDTH, *(len(cell) + 1 for cell in column)) for column in zip(*cells, strict=True)]
    labels = [section.title, *("  " + row[0] for row in section.rows)]
    notes = ("", *(section.notes or ("",) * len(section.rows)))
    lines: list[str] = []
    for label, row, note in zip(labels, cells, notes, strict=True):
        first = row[0].rjust(LABEL_WIDTH + widths[0] - len(label))
        lines.append(f"{label}{first}{''.join(map(str.rjust, row[1:], widths[1:]))}  {note}".rstrip())
    return lines
