"""Tokens that are told while their stream is open: each is written once and in order, whoever writes it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from deploy.http import event_stream
from deploy.http.exchange import Exchange
from tests.unit.deploy.http.served import InstantSession, served

NUM_TOKENS = 60
BODY = {"prompt": "why?", "max_tokens": NUM_TOKENS, "ignore_eos": True, "timings": True}


def whole_text() -> str:
    async def talk(client: TestClient[Any, Any]) -> str:
        async with client.post("/v1/completions", json=BODY) as answer:
            return (await answer.json())["choices"][0]["text"]

    return served(talk, InstantSession())


def told_in(steps: list[int], chunks: int) -> list[Any]:
    """Events of a stream that is told of its tokens in steps, some in one turn of the loop."""
    session = InstantSession(stands=True)
    exchange: Exchange = session.service._exchange

    async def talk(client: TestClient[Any, Any]) -> str:
        async def tell() -> None:
            while not exchange._tickets:
                await asyncio.sleep(0.001)
            for number, total in enumerate(steps):
                exchange.produced(0, total, number)
                if number % chunks == 0:
                    await asyncio.sleep(0.002)
            await asyncio.sleep(0.01)
            exchange.end()

        telling = asyncio.create_task(tell())
        async with client.post("/v1/completions", json={**BODY, "stream": True}) as answer:
            text = await answer.text()
        await telling
        return text

    events = served(talk, session).split("\n\n")
    assert events[-1] == ""
    return [json.loads(event.removeprefix("data: ")) for event in events[:-1]]


@pytest.mark.parametrize("chunks", [1, 3, 100])
@pytest.mark.parametrize("small_bytes", [event_stream.SMALL_BYTES, -1])
def test_each_token_comes_once_and_in_order(chunks: int, small_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "SMALL_BYTES", small_bytes)  # -1: the task of the stream writes all
    steps = sorted({*range(1, NUM_TOKENS, 2), 20, 40, NUM_TOKENS})
    *events, last = told_in(steps, chunks)
    assert "".join(event["choices"][0]["text"] for event in events) == whole_text()
    assert [event["timings"]["at_s"] for event in events] == [number / 1e9 for number in range(len(steps))]
    assert last["error"]["code"] == "interrupted"


def test_who_is_told_while_the_stream_stands_by_writes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = list[int]()
    take = event_stream._TokenWriter.take

    def noted(self: Any, num_tokens: int, at_ns: int) -> bool:
        taken.append(num_tokens)
        return take(self, num_tokens, at_ns)

    monkeypatch.setattr(event_stream._TokenWriter, "take", noted)
    told_in([1, 2, 3, 4], 1)
    assert taken == [2, 3, 4]
