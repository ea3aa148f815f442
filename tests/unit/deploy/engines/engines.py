"""Engines for tests: real ones, in real time, so fast that nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from aiohttp.test_utils import TestClient, TestServer
from msgspec.structs import replace

from deploy.engines.served import EngineSpec, ServedEngine
from deploy.http.spec import BLOCK_TOKENS, HttpSpec
from deploy.settings.load import load_settings
from deploy.system.blueprint import Blueprint

MODEL = "small"
SPEED = 300.0
PLAN = "1x16a"

Client = TestClient[Any, Any]
Answer = TypeVar("Answer")


def blueprint(**flags: Any) -> Blueprint:
    """Of an engine."""
    return Blueprint(load_settings(None, flags, {"plan": PLAN, "cache": "local"}), BLOCK_TOKENS)


def spec(**more: Any) -> EngineSpec:
    """Of an engine on a port of the test."""
    return replace(EngineSpec(HttpSpec(model=MODEL, max_context_tokens=160_000), SPEED), **more)


def with_engine(
    talk: Callable[[Client, ServedEngine], Awaitable[Answer]], made: EngineSpec | None = None, **flags: Any
) -> Answer:
    """Have `talk` talk to an engine that runs."""

    async def run() -> Answer:
        one = ServedEngine(made or spec(), blueprint(**flags))
        one.begin()
        try:
            async with TestClient(TestServer(one.service.application(), handler_cancellation=True)) as client:
                return await talk(client, one)
        finally:
            await one.stop()

    return asyncio.run(run())


async def complete(client: Client, prompt: Any = "why?", **more: Any) -> Any:
    """The JSON of an answer, which must be one."""
    body = {"prompt": prompt, "max_tokens": 4, "ignore_eos": True, "timings": True, **more}
    async with client.post("/v1/completions", json=body) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


def rows_of(path: Path) -> list[str]:
    """Lines of a file."""
    return path.read_text(encoding="ascii").splitlines()
