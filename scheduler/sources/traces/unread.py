"""Fields of rows that nobody reads: passed over if they are known to change nothing, named and counted if not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from scheduler.sources.traces.options import SkippedRows

Shape = tuple[str, ...]
"""The fields of a row, in its order: a file has few such, so that each is looked at once."""

MAX_SHAPES: Final = 4_096
"""Shapes that are remembered; a file of more is slower, not larger in memory."""

MAX_NAMES: Final = 1_000
"""Names that are counted one by one."""

CLOSED_LOOP: Final = "a request waits for another's end (closed loop), which no run at fixed times does"
CLOSED_FIX: Final = "say --sessions closed, or leave the field out"
"""Of fields that are read where clients wait."""

HARMLESS: Final = ("session_id", "request_id", "extra", "model")
"""Fields of rows of JSON that say neither when a request comes nor what it shares nor how long it is: who asked before,
a name, what goes into the body, which model."""

REFUSED: Final[Mapping[str, str]] = {
    "text_input": "prompts as text are not supported: the trace replays token counts",
    "messages": "prompts as messages are not supported: the trace replays token counts",
    "delay": CLOSED_LOOP,
    "delay_ms": CLOSED_LOOP,
    "wait_for": CLOSED_LOOP,
    "tool_wait_ms": CLOSED_LOOP,
    "sub_requests": CLOSED_LOOP,
    "branches": "a session branches, which no run at fixed times does",
    "prefix_reset": "a context is reset, which is read where sessions are closed loops",
}
"""What no row of JSON may have a value for, whatever its format: it changes when a request comes, or what it is."""


class FieldTally:
    """Knows which fields a format reads, passes over or refuses, and counts all others in `skipped`."""

    def __init__(
        self, known: Collection[str], refused: Collection[str], skipped: SkippedRows, *, is_strict: bool
    ) -> None:
        self._known: Final = frozenset(known)
        self._refused: Final = frozenset(refused) - frozenset(known)
        self._counts: Final = skipped.unread
        self.is_strict: Final = is_strict
        self._unread: dict[Shape, Shape] = {}
        self._doubtful: set[Shape] = set()

    def is_plain(self, shapes: Collection[Shape]) -> bool:
        """Whether no row of these shapes needs a look by itself."""
        for shape in shapes:
            if shape not in self._unread:
                self._learn(shape)
        return self._doubtful.isdisjoint(shapes)

    def unread_of(self, shape: Shape) -> Shape:
        """The fields of a row of this shape that nobody reads or knows to be harmless."""
        if shape not in self._unread:
            self._learn(shape)
        return self._unread[shape]

    def count(self, shapes: Mapping[Shape, int]) -> None:
        """Note the fields that nobody reads, of rows that are taken."""
        for shape, num_rows in shapes.items():
            for name in self.unread_of(shape):
                self._counts[name if name in self._counts or len(self._counts) < MAX_NAMES else "others"] += num_rows

    def _learn(self, shape: Shape) -> None:
        if len(self._unread) >= MAX_SHAPES:
            self._unread.clear()
            self._doubtful.clear()
        unread = tuple(name for name in shape if name not in self._known and name not in self._refused)
        self._unread[shape] = unread
        if not self._refused.isdisjoint(shape) or (unread and self.is_strict):
            self._doubtful.add(shape)
