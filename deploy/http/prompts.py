"""Prompts as the scheduler sees them: how many tokens, and ids of their blocks, equal where prefixes are equal."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, cast

from msgspec import Struct

from deploy.http.bodies import CompletionBody, Message
from deploy.http.errors import HttpError
from deploy.http.spec import BLOCK_TOKENS

BYTES_PER_TOKEN: Final = 4
"""Of UTF-8 text, where no tokenizer is given. English text has about 4 characters a token (OpenAI, "What are tokens and
how to count them?"); a token id is kept in as many bytes."""

BLOCK_BYTES: Final = BLOCK_TOKENS * BYTES_PER_TOKEN

MAX_BLOCKS_KNOWN: Final = 2**18
"""Blocks whose numbers are remembered, of 33 million tokens. One that was forgotten gets another number: a miss."""

_DIGEST_BYTES: Final = 16
_NO_BLOCK: Final = -1


class Prompt(Struct, frozen=True):
    """Its tokens, `BYTES_PER_TOKEN` bytes each and the last perhaps fewer; `kind` tells text from token ids."""

    kind: str
    data: bytes

    @property
    def num_tokens(self) -> int:
        """At least one."""
        return max(1, -(-len(self.data) // BYTES_PER_TOKEN))

    @property
    def ids(self) -> list[int] | None:
        """Of its tokens, where they are known."""
        return list(array("I", self.data)) if self.kind == "ids" else None


class BlockNumbers:
    """Numbers blocks as they come: a block is known by the number of the block before it, its kind and its bytes."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, bytes], int] = {}
        self._num_given = 0

    def prefix(self, prompt: Prompt) -> list[int]:
        """Ids of its consecutive blocks, the last perhaps partial; as in `RequestsArrived.prefixes`."""
        before, numbers = _NO_BLOCK, list[int]()
        for start in range(0, len(prompt.data), BLOCK_BYTES):
            block = prompt.data[start : start + BLOCK_BYTES]
            key = before, blake2b(block, digest_size=_DIGEST_BYTES, person=prompt.kind.encode()).digest()
            before = self._number(key)
            numbers.append(before)
        return numbers

    def skip(self, numbers: Sequence[int]) -> None:
        """These have been given by somebody before."""
        self._num_given = max(self._num_given, max(numbers, default=-1) + 1)

    def _number(self, key: tuple[int, bytes]) -> int:
        number = self._numbers.pop(key, None)
        if number is None:
            number = self._num_given
            self._num_given += 1
            if len(self._numbers) >= MAX_BLOCKS_KNOWN:
                del self._numbers[next(iter(self._numbers))]
        self._numbers[key] = number  # the last that was used
        return number


def completion_prompt(body: CompletionBody) -> str | Prompt:
    """Text, or token ids as they are; `HttpError` 400 for more than one prompt."""
    prompt = body.prompt
    if isinstance(prompt, str):
        return prompt
    if prompt and isinstance(prompt[0], int):
        return Prompt("ids", array("I", cast("list[int]", prompt)).tobytes())
    if len(prompt) != 1:
        raise HttpError(400, f"prompt: {len(prompt)} prompts in one request; give one", "unsupported", param="prompt")
    one = prompt[0]
    return one if isinstance(one, str) else Prompt("ids", array("I", _ids(one)).tobytes())


def chat_text(messages: Sequence[Message]) -> str:
    """Each message after its role, and the role of the answer at the end, which a longer conversation continues."""
    return "".join(f"<|{one.role}|>\n{_content(one)}\n" for one in messages) + "<|assistant|>\n"


def _content(message: Message) -> str:
    content = message.content
    if not isinstance(content, list):
        return content or ""
    others = [part.type for part in content if part.type != "text"]
    if others:
        raise HttpError(400, f"content of type {others[0]:.40}: only text is served", "unsupported", param="messages")
    return "".join(part.text or "" for part in content)


def _ids(ids: int | list[int]) -> list[int]:
    return [ids] if isinstance(ids, int) else ids
