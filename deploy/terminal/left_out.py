"""Options whose value may be left out on a command line, which typer has no words for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def with_left_out(arguments: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """The same command line with `values`, by option, where an option stands last or another one follows it."""
    filled: list[str] = []
    for at, argument in enumerate(arguments):
        following = arguments[at + 1] if at + 1 < len(arguments) else "-"
        filled.append(argument)
        if argument in values and following.startswith("-"):
            filled.append(values[argument])
    return filled
