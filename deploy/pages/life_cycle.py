"""`python -m deploy.pages.life_cycle` writes docs/life-cycle.md from the table of a request's life."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Final

from scheduler.core.lifecycle import TRANSITIONS, Event, State

PATH: Final = Path(__file__).parents[2] / "docs" / "life-cycle.md"

HEAD: Final = """\
# The life cycle of a request

Written from `scheduler/core/lifecycle.py` by `python -m deploy.pages.life_cycle`; a test holds it. What is not in the
table raises `LifecycleError` and changes nothing (INV-2); nothing leads out of `ENDED` (INV-1).

"""

_FROM_ANYWHERE: Final = (Event.LOST, Event.END)
"""Left out of the picture, which they would fill: they are told in a sentence."""


def page() -> str:
    """The text of the page."""
    rows = [*_table("State", "a request", State), "", *_table("Event", "what happens", Event)]
    return HEAD + "\n".join(["```mermaid", *_diagram(), "```", "", *_sentences(), "", *rows]) + "\n"


def _diagram() -> Iterator[str]:
    yield "stateDiagram-v2"
    yield f"    [*] --> {State(0).name}"
    for (before, event), after in TRANSITIONS.items():
        if event not in _FROM_ANYWHERE:
            yield f"    {before.name} --> {after.name}: {event.name}"
    yield f"    {State.DECODING.name} --> {State.ENDED.name}: {Event.END.name}"
    yield f"    {State.ENDED.name} --> [*]"


def _sentences() -> Iterator[str]:
    for event in _FROM_ANYWHERE:
        after = TRANSITIONS[State.DECODING, event]
        others = " and ".join(f"`{state.name}`" for state in State if (state, event) not in TRANSITIONS)
        yield f"`{event.name}` leads to `{after.name}` from every state but {others}."


def _table(title: str, subject: str, kind: type[IntEnum]) -> Iterator[str]:
    """Each member with the docstring below it."""
    yield f"| {title} | {subject} |"
    yield "|---|---|"
    for name, text in _described(kind).items():
        yield f"| `{name}` | {text} |"


def _described(kind: type[IntEnum]) -> dict[str, str]:
    """The docstring under each member, by its name; they are in the source alone."""
    (definition,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    for statement, below in zip(definition.body, definition.body[1:]):
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            assert isinstance(below, ast.Expr)
            assert isinstance(below.value, ast.Constant)
            found[statement.targets[0].id] = " ".join(str(below.value.value).split())
    return found


def main() -> None:
    """Write the page and tell where."""
    PATH.write_text(page(), encoding="utf-8")
    print(PATH)


if __name__ == "__main__":
    main()
