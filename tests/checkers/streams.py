"""INV-15 as a client sees it: what it reads, over however many connections, is the answer, piece by piece."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

TOKEN_CHARACTERS = 4
"""Of each token of the service's answers."""


@dataclass
class Received:
    """What one client has of an answer whose whole text must be `expected`; `take` is given each line of each stream.

    `num_tokens` are those up to the last event, which is what a client says to go on; where events have ids, they must
    say the same.
    """

    expected: str
    text: str = ""
    num_tokens: int = 0
    is_over: bool = False
    errors: list[str] = field(default_factory=list[str])
    _id: int = 0

    def take(self, line: str) -> None:
        """One line; AssertionError for a token that is doubled, left out or out of order, or anything after the end."""
        name, _, value = line.partition(": ")
        if name == "id":
            self._id = int(value)
            assert self._id > self.num_tokens, f"event {self._id} after {self.num_tokens}"
        if name != "data":
            return
        assert not self.is_over, f"after the end: {value}"
        if value == "[DONE]":
            self.is_over = True
            return
        event = json.loads(value)
        if "error" in event:
            self.errors.append(event["error"]["code"])
        for choice in event.get("choices", ()):
            self._take_text(_text(choice))

    def _take_text(self, text: str) -> None:
        if not text:
            return
        at = len(self.text)
        assert self.expected.startswith(text, at), f"{text!r} at {at}, where {self.expected[at : at + 20]!r} follows"
        self.text += text
        self.num_tokens = len(self.text) // TOKEN_CHARACTERS
        assert self._id in (0, self.num_tokens), f"event {self._id} ends with token {self.num_tokens}"

    def check_whole(self) -> None:
        """It has ended, and nothing is missing."""
        assert self.is_over, f"no end after {self.num_tokens} tokens; errors: {self.errors}"
        assert self.text == self.expected


def _text(choice: dict[str, Any]) -> str:
    return choice["text"] if "text" in choice else choice["delta"].get("content", "")
