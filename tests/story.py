"""Which component heard which message of one request: `python -m tests.story [TRACE] [REQUEST] [FLAGS OF REPLAY]`.

A replay on the virtual clock is run with a listener around each component. What concerns the request is told line by
line: when, who heard it, and whom that made it send something to. docs/one-request.md is made with it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any, Final
from unittest.mock import patch

from deploy.cli import main
from deploy.run import replay
from scheduler.core.scheduler import Scheduler
from scheduler.core.transfers import CacheRead
from scheduler.protocol.component import Around, Component, Outputs
from scheduler.protocol.messages import Message, RequestsArrived, StartTransfer
from scheduler.runtime.virtual import VirtualRuntime

DEFAULTS: Final = ("examples/demo.jsonl", "17")


@dataclass(frozen=True, slots=True)
class Heard:
    """A component was told something about the request, or woke with something to say about it."""

    now_ns: int
    address: str
    what: str
    sent: tuple[str, ...]


class Story:
    """What is told of one request; `flows` are the transfers that carry something for it."""

    def __init__(self, request_id: int) -> None:
        self.request_id = request_id
        self.heard: list[Heard] = []
        self.flows: set[int] = set()
        self.core: Scheduler | None = None

    def concerns(self, message: Message) -> bool:
        """Whether a message is about the request, by its ids or by a transfer that it waits for."""
        names = message.__struct_fields__
        if "transfer_id" in names:
            return getattr(message, "transfer_id") in self.flows  # noqa: B009 - not every message has one
        return any(name.endswith("ids") and self.request_id in getattr(message, name) for name in names)

    def note(self, now_ns: int, address: str, message: Message | None, outputs: Outputs, is_new: bool) -> None:
        """Keep one call of a component if it concerns the request."""
        is_heard = is_new or (message is not None and self.concerns(message))
        for _, output in outputs:
            if isinstance(output, StartTransfer) and (is_heard or self._is_waited_for(output)):
                self.flows.add(output.transfer_id)
        sent = tuple(f"{to}: {_named(output)}" for to, output in outputs if is_new or self.concerns(output))
        if is_heard or sent:
            what = "wakes" if message is None else _named(message)
            self.heard.append(Heard(now_ns, address, what, sent))

    def _is_waited_for(self, started: StartTransfer) -> bool:
        """Whether the core keeps the request as one that waits for this flow."""
        flow = None if self.core is None else self.core._transfers._waiting.get(started.transfer_id)  # pyright: ignore[reportPrivateUsage]
        if flow is None:
            return False
        return self.request_id in (flow.command.ids if isinstance(flow, CacheRead) else flow.ids)


def _named(message: Message) -> str:
    """The type of a message, and why bytes move where they do."""
    kind = getattr(message, "kind", None)
    return type(message).__name__ if kind is None else f"{type(message).__name__} ({kind.name.lower()})"


class Listener(Around):
    """A component around a component, which notes what that is told and what it sends."""

    def __init__(self, inner: Component, story: Story) -> None:
        super().__init__(inner)
        self._story = story
        self._core = inner if isinstance(inner, Scheduler) else None
        story.core = self._core or story.core

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Pass one message on."""
        first = self._core.table.num_requests if self._core is not None else 0
        outputs = self.inner.handle(now_ns, message)
        is_new = isinstance(message, RequestsArrived) and self._core is not None
        is_new = is_new and first <= self._story.request_id < self._core.table.num_requests  # type: ignore[union-attr]
        self._story.note(now_ns, self.address, message, outputs, is_new)
        return outputs

    def wake(self, now_ns: int) -> Outputs:
        """Pass the wake on."""
        outputs = self.inner.wake(now_ns)
        self._story.note(now_ns, self.address, None, outputs, False)
        return outputs


def story_of(request_id: int, command: Sequence[str]) -> list[Heard]:
    """What is told of a request of a replay; `command` is its trace and flags."""
    story = Story(request_id)

    def listened(components: Sequence[Component], *more: Any, **named: Any) -> VirtualRuntime:
        return VirtualRuntime([Listener(one, story) for one in components], *more, **named)

    with patch.object(replay, "VirtualRuntime", listened), redirect_stdout(StringIO()):
        code = main(["replay", *command, "--json"])
    if code:
        sys.exit(code)
    return story.heard


def lines(heard: Sequence[Heard]) -> list[str]:
    """A table, its times from the first row on."""
    rows = [("ms", "who", "hears", "and sends")]
    for one in heard:
        ms = (one.now_ns - heard[0].now_ns) / 1e6
        rows += [(f"{ms:.3f}", one.address, one.what, one.sent[0] if one.sent else "")]
        rows += [("", "", "", sent) for sent in one.sent[1:]]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        "  ".join([f"{row[0]:>{widths[0]}}", *map(str.ljust, row[1:3], widths[1:]), row[3]]).rstrip() for row in rows
    ]


if __name__ == "__main__":
    given = [*sys.argv[1:], *DEFAULTS[len(sys.argv) - 1 :]]
    trace, number, *flags = given
    sys.stdout.write("\n".join(lines(story_of(int(number), [trace, *flags]))) + "\n")
