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

TAIL: Final = """
## Of an instance

Two guests take instances out of the choice and bring them back. `Scaler` moves them through the phases of
`scheduler/core/scaling/placement.py`, `Parking` (`scheduler/core/guests/parking.py`) parks and wakes them. Whether
parking should be a scaler whose fewest are warm was looked at, and it stays a mechanism of its own:

- **Asked for what.** A scaling policy says how many of a role there shall be, of samples of an interval, and the
  mechanism says which. Parking is about this instance now: its idle time ends at its nanosecond, and a request that
  leaves too few idle wakes one within the same event. An interval of seconds wakes too late, and a view made for every
  event would cost more than the event.
- **Who may refuse.** What is drained leaves when no request in the core's table depends on it. What is parked may hold
  KV that the core has let go of but not heard of, and says no itself: the two waits end on different knowledge.
- **What it frees.** A stopped instance gives up its NPUs, so that placement, switches of roles, loads over the fabric
  and watts follow. A parked one gives up its model alone, and keeps NPUs, process and the floor of its power budget.
- **Both at once.** One that is parked may be drained, and leaves at once; to a scaler one that is parked serves. One
  phase for both would need a product of the two.

What they share they have once: who takes work (`Stage.eligible`), that those who wait are routed when somebody is back
(`Recovery.retry_waiting`), and that a loss ends either. Processes start and end, and watts are found for them, in one
place (`scheduler/core/scaling/processes.py`).
"""

_FROM_ANYWHERE: Final = (Event.LOST, Event.END)
"""Left out of the picture, which they would fill: they are told in a sentence."""


def page() -> str:
    """The text of the page."""
    rows = [*_table("State", "a request", State), "", *_table("Event", "what happens", Event)]
    return HEAD + "\n".join(["```mermaid", *_diagram(), "```", "", *_sentences(), "", *rows]) + "\n" + TAIL


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
