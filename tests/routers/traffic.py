"""What clients send through a router: turns of groups that share a long prefix, whole answers and streams in turn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import aiohttp
from msgspec import Struct

MODEL: Final = "deepseek-r1"
SHARED_TOKENS: Final = 768
"""Of a group: six blocks of an engine."""

BLOCK_TOKENS: Final = 128
OUTPUT_TOKENS: Final = 12
ANSWER_S: Final = 120.0


class Answered(Struct, frozen=True):
    """What one client was answered."""

    group: int
    turn: int
    status: int
    cached_tokens: int = 0
    output_tokens: int = 0


def text_prompt(group: int, turn: int) -> str:
    """A prefix of the group, and a question of the turn; four letters are a token."""
    return f"{1000 + group}" * SHARED_TOKENS + f"{5000 + turn}" * 40


def ids_prompt(group: int, turn: int) -> list[int]:
    """The same in token ids, of which a router needs no tokenizer to know them."""
    return [1000 + group] * SHARED_TOKENS + [5000 + turn] * 40


PromptOf = Callable[[int, int], str | list[int]]


async def turn(base: str, groups: Sequence[int], number: int, prompt_of: PromptOf) -> list[Answered]:
    """Every group asks once, all at the same time."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    async with aiohttp.ClientSession(base, timeout=timeout) as session:
        return list(await asyncio.gather(*(_ask(session, group, number, prompt_of) for group in groups)))


async def _ask(session: aiohttp.ClientSession, group: int, number: int, prompt_of: PromptOf) -> Answered:
    is_stream = (group + number) % 2 == 0
    body: dict[str, Any] = {"model": MODEL, "prompt": prompt_of(group, number), "max_tokens": OUTPUT_TOKENS}
    body |= {"ignore_eos": True, "stream": is_stream}
    if is_stream:
        body["stream_options"] = {"include_usage": True}
    async with session.post("/v1/completions", json=body) as answer:
        if answer.status != 200:
            return Answered(group, number, answer.status)
        text = await answer.text()
    usage = _usage_of_stream(text) if is_stream else json.loads(text)["usage"]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    return Answered(group, number, 200, cached, usage["completion_tokens"])


def _usage_of_stream(text: str) -> Any:
    events = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    return json.loads(events[-2])["usage"]
